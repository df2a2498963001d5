import pytest

from demo import pictures


def test_nothing_that_is_trained_on_is_tried():
    trained = {picture.file for picture in pictures.PICTURES if picture.use == "train"}
    tried = {picture.file for picture in pictures.PICTURES if picture.use != "train"}
    assert trained
    assert tried
    assert not trained & tried
    assert len(trained) + len(tried) == len(pictures.PICTURES)


def test_each_class_has_pictures_to_train_on_and_held_out():
    for label in pictures.CLASSES:
        assert {picture.use for picture in pictures.PICTURES if picture.label == label} >= {
            "train",
            "held-out",
        }


def test_a_client_that_fails_is_named_with_its_last_line(tmp_path):
    with pytest.raises(pictures.PicturesUnavailable, match="ended with 3: no luck"):
        pictures._run(["sh", "-c", "echo trying >&2; echo no luck >&2; exit 3"], tmp_path)


def test_a_client_that_is_missing_is_named(tmp_path):
    with pytest.raises(pictures.PicturesUnavailable, match="no-such-client"):
        pictures._run(["no-such-client"], tmp_path)
