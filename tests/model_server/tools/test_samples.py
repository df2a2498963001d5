"""Pictures in directories, read for a model."""

import numpy as np
import pytest
from PIL import Image

from catfish_server.inference.preprocess import preprocess
from catfish_server.tools import samples
from catfish_server.tools.errors import ToolFailure

HOW = {"image_size": 32, "mean": (0.5, 0.4, 0.3), "std": (0.2, 0.2, 0.2)}


def put(directory, *names):
    for number, name in enumerate(names):
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (50, 40), (number * 10, 80, 200)).save(path)


def test_the_directory_of_a_picture_is_its_class_and_the_array_is_that_of_the_server(tmp_path):
    put(tmp_path, "loose.png", "cat/a.png", "fish/b.PNG")
    found = samples.read(tmp_path, **HOW)
    assert found.names == ("cat/a.png", "fish/b.PNG", "loose.png")
    assert found.labels == ("cat", "fish", None)
    with Image.open(tmp_path / "fish/b.PNG") as image:
        expected = preprocess(image, **HOW)
    assert np.array_equal(found.images[1:2], expected)
    assert found.images.strides == np.empty((3, 32, 32, 3), np.float32).transpose(0, 3, 1, 2).strides


def test_what_lies_beside_the_pictures_is_left_alone(tmp_path):
    put(tmp_path, "cat/a.png", "cat/.hidden.png", ".cache/b.png", "cat/deeper/c.png")
    (tmp_path / "index.json").write_text("{}")
    assert samples.list_names(tmp_path) == ["cat/a.png"]


def test_a_limit_takes_as_many_of_each_class_and_the_same_every_time(tmp_path):
    put(tmp_path, *(f"cat/{number}.png" for number in range(20)), "fish/1.png", "fish/2.png", "fish/3.png")
    first = samples.list_names(tmp_path, limit=6)
    assert sorted(map(samples.label_of, first)) == ["cat"] * 3 + ["fish"] * 3
    assert first == samples.list_names(tmp_path, limit=6)
    assert len(samples.list_names(tmp_path, limit=10)) == 10


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"<html>", "broken.png is not a picture that the server takes: The bytes are none of"),
        (None, "no pict"),
    ],
    ids=["a page instead of a picture", "nothing there"],
)
def test_what_cannot_be_used_is_named(tmp_path, content, sentence):
    if content is not None:
        (tmp_path / "broken.png").write_bytes(content)
    with pytest.raises(ToolFailure, match=sentence):
        samples.read(tmp_path, **HOW)


def test_a_directory_that_is_not_there_is_named(tmp_path):
    with pytest.raises(ToolFailure, match="missing is no directory"):
        samples.list_names(tmp_path / "missing")
