"""Golden images, asked of a model whose answer is the colour of the picture."""

import io
from dataclasses import dataclass

import pytest
import torch
from PIL import Image
from torch import nn

from catfish_server import errors, startup
from catfish_server.inference.classifier import Classifier
from catfish_server.inference.verification import verify
from catfish_server.lifecycle import Score
from catfish_server.models.module import TorchModel

COLOURS = {"red": (250, 10, 10), "green": (10, 250, 10), "black": (0, 0, 0)}


class Colour(nn.Module):
    """The logits are ten times the means of the red and the green channel; divided by 0 they are not finite."""

    def __init__(self, divisor=1.0):
        super().__init__()
        self.divisor = divisor

    def forward(self, batch):
        return batch.mean(dim=(2, 3))[:, :2] * 10 / self.divisor


@dataclass
class Asked:
    directory: object

    def __call__(
        self, samples, *, module=None, threshold=None, min_accuracy=1.0, max_pixels=10_000, timeout=30.0
    ):
        classifier = Classifier(
            TorchModel(module or Colour()),
            ("red", "green"),
            image_size=32,
            mean=(0, 0, 0),
            std=(1, 1, 1),
            unknown_threshold=threshold,
            threads=1,
            timeout_seconds=timeout,
        )
        self.told = []
        try:
            return verify(
                classifier,
                samples,
                directory=self.directory,
                min_accuracy=min_accuracy,
                max_pixels=max_pixels,
                progress=lambda done, total: self.told.append((done, total)),
            )
        finally:
            classifier.close()


@pytest.fixture
def asked(tmp_path):
    for name, colour in COLOURS.items():
        buffer = io.BytesIO()
        Image.new("RGB", (60, 40), colour).save(buffer, "PNG")
        (tmp_path / f"{name}.png").write_bytes(buffer.getvalue())
    return Asked(tmp_path)


def test_images_that_are_all_answered_right_are_counted_one_by_one(asked):
    assert asked([("red.png", "red"), ("green.png", "green")]) == Score(right=2, total=2)
    assert asked.told == [(0, 2), (1, 2), (2, 2)]


def test_one_wrong_answer_fails_and_is_told(asked):
    with pytest.raises(errors.VerificationFailed) as failed:
        asked([("red.png", "red"), ("green.png", "red")])
    assert str(failed.value) == (
        "spec.verification: 1 of 2 golden images were answered right (green.png: green, expected red)"
    )


@pytest.mark.parametrize(("min_accuracy", "passes"), [(0.5, True), (0.51, False), (0.0, True)])
def test_the_share_that_must_be_right_is_the_specs(asked, min_accuracy, passes):
    samples = [("red.png", "red"), ("green.png", "red")]
    if passes:
        assert asked(samples, min_accuracy=min_accuracy) == Score(right=1, total=2)
    else:
        with pytest.raises(errors.VerificationFailed, match=r", and minAccuracy is 0\.51$"):
            asked(samples, min_accuracy=min_accuracy)


def test_the_threshold_counts_as_it_does_for_requests(asked):
    with pytest.raises(errors.VerificationFailed, match=r"black\.png: unknown, expected red"):
        asked([("black.png", "red")], threshold=0.6)


def test_unknown_can_be_the_right_answer_of_a_model_with_a_threshold(asked):
    assert asked([("black.png", "unknown")], threshold=0.6) == Score(right=1, total=1)


@pytest.mark.parametrize("expected", ["cat", "unknown"])
def test_a_class_that_the_model_does_not_have_is_a_mistake_in_the_spec(asked, expected):
    with pytest.raises(errors.InvalidSpec, match=rf"^spec\.verification\.samples: red\.png .*'{expected}'"):
        asked([("red.png", expected)])


def test_a_file_that_is_not_there_is_a_mistake_in_the_spec(asked):
    with pytest.raises(
        errors.InvalidSpec, match=r"^spec\.verification\.samples: blue\.png cannot be read: No such"
    ):
        asked([("blue.png", "red")])


def test_a_file_that_is_no_image_is_a_mistake_in_the_spec(asked, tmp_path):
    (tmp_path / "note.jpg").write_text("This is a note.")
    with pytest.raises(
        errors.InvalidSpec, match=r"^spec\.verification\.samples: note\.jpg is not an image.*JPEG"
    ):
        asked([("note.jpg", "red")])


def test_the_limit_on_pixels_is_that_of_requests(asked):
    with pytest.raises(errors.InvalidSpec, match="60 x 40 pixels; the limit is 2399"):
        asked([("red.png", "red")], max_pixels=2399)


def test_an_answer_that_is_not_finite_blames_the_weights(asked):
    with pytest.raises(errors.NonFiniteWeights, match=r"red\.png"):
        asked([("red.png", "red")], module=Colour(divisor=0.0))


def test_no_answer_in_time_is_not_the_right_answer(asked):
    class Slow(Colour):
        def forward(self, batch):
            torch.randn(2000, 2000).mm(torch.randn(2000, 2000))
            return super().forward(batch)

    with pytest.raises(errors.VerificationFailed, match=r"red\.png: no answer in time, expected red"):
        asked([("red.png", "red")], module=Slow(), timeout=0.001)


def test_many_wrong_answers_with_long_names_fit_into_the_termination_message(asked, tmp_path):
    names = [f"{number:03}{'x' * 200}.png" for number in range(40)]
    for name in names:
        (tmp_path / name).write_bytes((tmp_path / "red.png").read_bytes())
    with pytest.raises(errors.VerificationFailed) as failed:
        asked([(name, "green") for name in names])
    message = str(failed.value)
    assert message.startswith("spec.verification: 0 of 40 golden images were answered right (000xxx")
    assert message.endswith("; and 35 more)")
    assert message in startup._termination_message(failed.value).decode()
