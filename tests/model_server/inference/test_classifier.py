import time

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn
from torchvision import models

from catfish_server.inference.classifier import Classifier, NonFiniteOutput, Prediction
from catfish_server.inference.preprocess import preprocess
from catfish_server.models.module import TorchModel

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class Fixed(nn.Module):
    def __init__(self, *logits):
        super().__init__()
        self.logits = torch.tensor([logits])

    def forward(self, batch):
        return self.logits.expand(len(batch), -1)


@pytest.fixture
def classifiers():
    made = []

    def make(module, classes=("cat", "fish"), threshold=None, **options):
        settings = {"image_size": 32, "mean": MEAN, "std": STD, "threads": 1} | options
        made.append(Classifier(TorchModel(module), classes, unknown_threshold=threshold, **settings))
        return made[-1]

    yield make
    for classifier in made:
        classifier.close()


GREY = Image.new("RGB", (40, 30), (127, 127, 127))


def test_the_most_probable_class_is_the_answer(classifiers):
    prediction = classifiers(Fixed(0.0, float(np.log(3)))).predict(GREY)
    assert (prediction.label, round(prediction.probability, 6)) == ("fish", 0.75)
    assert {name: round(p, 6) for name, p in prediction.probabilities.items()} == {"cat": 0.25, "fish": 0.75}


@pytest.mark.parametrize(("threshold", "label"), [(None, "fish"), (0.74, "fish"), (0.76, "unknown")])
def test_below_the_threshold_the_answer_is_unknown(classifiers, threshold, label):
    prediction = classifiers(Fixed(0.0, float(np.log(3))), threshold=threshold).predict(GREY)
    assert isinstance(prediction, Prediction)
    assert prediction.label == label


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_an_answer_that_is_not_finite_is_no_answer(classifiers, value):
    classifier = classifiers(Fixed(0.0, value))
    with pytest.raises(NonFiniteOutput):
        classifier.predict(GREY)
    with pytest.raises(NonFiniteOutput):
        classifier.warm_up()


class SlowAtFirst(Fixed):
    """A model whose first pass allocates and chooses, as real ones do."""

    passes = 0

    def forward(self, batch):
        self.passes += 1
        if self.passes == 1:
            time.sleep(1)
        return super().forward(batch)


def test_the_first_pass_of_the_warm_up_is_not_taken_for_the_usual_time(classifiers):
    classifier = classifiers(SlowAtFirst(0.0, 1.0))
    classifier.warm_up()
    assert 0 < classifier.engine.seconds_each < 0.5


def test_a_real_model_answers_as_it_does_when_called_directly(classifiers):
    torch.manual_seed(7)
    module = models.resnet18(weights=None, num_classes=3).eval()
    rng = np.random.default_rng(7)
    images = [Image.fromarray(rng.integers(0, 255, (60, 80, 3), dtype=np.uint8)) for _ in range(4)]
    with torch.inference_mode():
        batches = [preprocess(image, image_size=32, mean=MEAN, std=STD) for image in images]
        expected = [torch.softmax(module(torch.from_numpy(batch))[0], 0) for batch in batches]
    classifier = classifiers(module, ("a", "b", "c"), threads=2)
    classifier.warm_up()
    for image, probabilities in zip(images, expected, strict=True):
        answer = torch.tensor(list(classifier.predict(image).probabilities.values()))
        torch.testing.assert_close(answer, probabilities, rtol=1e-4, atol=1e-5)
