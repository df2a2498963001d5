import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn
from torchvision import models

from catfish_server.errors import Overloaded
from catfish_server.inference import classifier as inference
from catfish_server.inference.classifier import Classifier, WrongShape
from catfish_server.inference.engine import TooManyImages
from catfish_server.inference.prediction import NonFiniteOutput, Prediction
from catfish_server.inference.preprocess import preprocess
from catfish_server.models.model import Runtime
from catfish_server.models.module import TorchModel
from tests.model_server.inference.batching import until

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


class Reds(nn.Module):
    """The logits are the means of the red and the green channel; every batch is noted."""

    def __init__(self):
        super().__init__()
        self.sizes = []

    def forward(self, batch):
        self.sizes.append(len(batch))
        return batch.mean(dim=(2, 3))[:, :2] * 10


def coloured(red, green):
    return Image.new("RGB", (40, 30), (red, green, 0))


def test_the_images_of_a_call_are_answered_together_and_in_their_order(classifiers):
    module = Reds()
    classifier = classifiers(module, mean=(0, 0, 0), std=(1, 1, 1))
    images = [coloured(250, 10), coloured(10, 250), coloured(250, 10), coloured(20, 250)]
    assert [prediction.label for prediction in classifier.predict_all(images, count=4)] == [
        "cat",
        "fish",
        "cat",
        "fish",
    ]
    assert module.sizes == [4]


def test_raw_input_is_answered_with_logits_whatever_its_memory_looks_like(classifiers):
    classifier = classifiers(Reds())
    batch = np.random.default_rng(7).standard_normal((5, 3, 32, 32), dtype=np.float32)
    for view in (batch, batch[:, ::-1], np.frombuffer(batch.tobytes(), np.float32).reshape(batch.shape)):
        logits = classifier.infer(view)
        assert (logits.shape, logits.dtype) == ((5, 2), np.float32)
        np.testing.assert_allclose(logits, view.mean(axis=(2, 3))[:, :2] * 10, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    "shape", [(0, 3, 32, 32), (1, 1, 32, 32), (1, 3, 32, 33), (3, 32, 32), (1, 32, 32, 3)]
)
def test_raw_input_of_another_shape_is_refused_by_name(classifiers, shape):
    with pytest.raises(WrongShape) as refused:
        classifiers(Reds()).infer(np.zeros(shape, np.float32))
    assert (refused.value.status, refused.value.field) == (400, "inputs")
    assert refused.value.detail.endswith(f"[n, 3, 32, 32], and these are {list(shape)}.")


def test_large_images_wait_in_a_shorter_queue(classifiers):
    classifier = classifiers(Reds(), image_size=2048)
    with pytest.raises(TooManyImages, match="more than 3 images"):
        classifier.infer(np.broadcast_to(np.float32(0), (4, 3, 2048, 2048)))


def test_images_that_could_not_wait_take_no_memory_before_they_are_refused(classifiers):
    classifier, made = classifiers(Reds(), image_size=2048), []

    def images():
        for number in range(32):
            made.append(number)
            yield Image.new("RGB", (64, 64))

    with pytest.raises(TooManyImages, match="more than 3 images"):
        classifier.predict_all(images(), count=32)
    assert made == []


def test_calls_that_decode_hold_no_more_images_together_than_may_wait_and_be_run(classifiers, monkeypatch):
    classifier = classifiers(Reds(), queue_length=4, max_batch=1, max_wait_seconds=0.1)  # and one in the pass
    held, most, changed, full = Counter(), [], threading.Lock(), threading.Barrier(2)

    def counted(image, **options):
        with changed:
            held[threading.get_ident()] += 1
            most.append(held.total())
        return preprocess(image, **options)

    def images():
        yield from [GREY] * 3
        full.wait(30)
        yield GREY

    def ask(pictures):
        try:
            return len(classifier.predict_all(pictures, count=4))
        except Overloaded as error:
            return error.reason
        finally:
            with changed:
                del held[threading.get_ident()]

    monkeypatch.setattr(inference, "preprocess", counted)
    with ThreadPoolExecutor(8) as pool:
        first = pool.submit(ask, images())
        until(lambda: len(most) == 3)
        others = [pool.submit(ask, [GREY] * 4) for _ in range(7)]
        assert {other.result(30) for other in others} == {"queue"}
        full.wait(30)
        assert first.result(30) == 4
    assert max(most) == 4


def test_a_call_of_one_image_is_answered_while_larger_ones_decode_and_the_model_is_idle(classifiers):
    classifier = classifiers(Reds(), queue_length=4, max_batch=2, max_wait_seconds=0.1)
    decoding, go_on = threading.Semaphore(0), threading.Event()

    def images(count):
        decoding.release()
        assert go_on.wait(30)
        yield from [GREY] * count

    with ThreadPoolExecutor(2) as pool:
        large = pool.submit(classifier.predict_all, images(4), count=4)
        assert decoding.acquire(timeout=30)
        small = pool.submit(classifier.predict_all, images(2), count=2)
        until(lambda: small.done() or decoding.acquire(blocking=False))
        try:
            assert classifier.predict(GREY)
        finally:
            go_on.set()
        assert len(large.result(30)) == 4
        with pytest.raises(Overloaded, match="Too many images wait"):
            small.result(30)


def test_a_call_that_waits_for_places_keeps_none_from_others(classifiers, monkeypatch):
    monkeypatch.setattr(inference, "PATIENCE_SECONDS", 30.0)
    options = {"queue_length": 4, "max_batch": 1, "max_wait_seconds": 30.0}
    classifier = classifiers(Reds(), **options)  # with five places, one of them for a call of one
    decoding, go_on = threading.Semaphore(0), threading.Event()

    def one():
        decoding.release()
        assert go_on.wait(30)
        yield GREY

    with ThreadPoolExecutor(4) as pool:
        ones = [pool.submit(classifier.predict_all, one(), count=1) for _ in range(2)]
        try:
            assert all(decoding.acquire(timeout=30) for _ in ones)
            large = pool.submit(classifier.predict_all, [GREY] * 4, count=4)
            until(lambda: classifier._places._changed._waiters)
            assert len(classifier.predict_all([GREY] * 3, count=3)) == 3
            assert not large.done()
        finally:
            go_on.set()
        assert len(large.result(30)) == 4
        assert [len(future.result(30)) for future in ones] == [1, 1]


def test_it_says_what_runs_the_model_and_follows_a_replacement(classifiers):
    classifier = classifiers(Fixed(0.0, 1.0))
    before = classifier.runtime
    assert (before.engine, before.device, before.threads) == ("torch", "cpu", 1)
    assert classifier.predict(GREY).label == "fish"
    after = Runtime(engine="onnxruntime", device="cpu", instruction_set="AVX2", threads=1)
    classifier.replace(lambda batch: np.repeat(np.float32([[1, 0]]), len(batch), axis=0), after)
    assert (classifier.predict(GREY).label, classifier.runtime) == ("cat", after)
