import logging
import re

import pytest
import torch
from torch import nn

from catfish_server import errors
from catfish_server.inference.prepare import prepare
from catfish_server.models.model import Loaded, OneByOne
from catfish_server.models.module import TorchModel

CLASSES = ("cat", "fish")


class Means(nn.Module):
    """Two of the channels' means, and something after it."""

    def __init__(self, then=lambda logits: logits):
        super().__init__()
        self.then = then

    def forward(self, batch):
        return self.then(batch.mean(dim=(2, 3))[:, :2] * 100)


def prepared(model, reference=None, classes=CLASSES):
    fast = TorchModel(model)
    slow = TorchModel(reference) if reference else fast
    return prepare(Loaded(model=fast, reference=slow, classes=None), classes=classes, image_size=16).module


def test_a_fast_model_that_agrees_is_used():
    fast = Means(lambda logits: logits * 1.001)
    assert prepared(fast, Means()) is fast


def failing(_logits):
    raise RuntimeError("no kernel")


@pytest.mark.parametrize(
    ("change", "says"),
    [
        pytest.param(lambda logits: logits * 1.05, r"differs .* by 5\.0 %", id="other-answers"),
        pytest.param(lambda logits: logits.flip(1), "differs", id="swapped"),
        pytest.param(lambda logits: logits * float("nan"), "differs .* by inf", id="not-finite"),
        pytest.param(lambda logits: logits[:, :1], "differs .* by inf", id="another-shape"),
        pytest.param(failing, "differs .* by inf", id="does-not-run"),
    ],
)
def test_a_fast_model_that_disagrees_is_not_used_and_the_log_says_so(caplog, change, says):
    slow = Means()
    with caplog.at_level(logging.WARNING):
        assert prepared(Means(change), slow) is slow
    (record,) = caplog.records
    assert re.search(says, record.getMessage())


def test_a_module_of_the_registry_is_not_tried():
    model = TorchModel(Means(failing))
    loaded = Loaded(model=model, reference=None, classes=None)
    assert prepare(loaded, classes=CLASSES, image_size=16) is model


def test_a_dropout_that_was_left_on_is_found():
    module = Means(nn.functional.dropout)
    torch.manual_seed(3)
    with pytest.raises(errors.UnsupportedFormat, match=r"^spec\.weights\.url: .*model\.eval\(\)"):
        prepared(module)


@pytest.mark.parametrize(
    ("change", "failure", "says"),
    [
        (failing, errors.InvalidSpec, r"^spec\.model\.imageSize: .*\[1, 3, 16, 16\]"),
        (lambda logits: logits * float("inf"), errors.NonFiniteWeights, r"^spec\.weights\.url: .*NaN or inf"),
        (
            lambda logits: logits[:, :1],
            errors.ArchitectureMismatch,
            r"^spec\.model\.classes: names 2 .* 1 outputs",
        ),
        (lambda logits: (logits, logits), errors.ArchitectureMismatch, "answers a tuple"),
        (lambda logits: logits[0], errors.ArchitectureMismatch, r"answers \[2\]"),
        (lambda logits: logits.repeat(2, 1), errors.ArchitectureMismatch, r"answers \[2, 2\]"),
    ],
    ids=["does-not-run", "not-finite", "other-classes", "tuple", "no-batch", "larger-batch"],
)
def test_a_model_that_cannot_answer_is_told_apart_by_what_is_wrong(change, failure, says):
    with pytest.raises(failure, match=says):
        prepared(Means(change))


def without_memory(_logits):
    raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.\nGPU 0 has 80 GiB")


def test_a_gpu_that_others_have_filled_is_no_verdict_on_the_model(caplog):
    with pytest.raises(errors.OutOfMemory, match=r"^spec\.resources\.limits: the GPU"):
        prepared(Means(without_memory))
    assert [record.getMessage() for record in caplog.records] == [
        "The model does not run: OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB."
    ]


def test_why_a_model_does_not_run_is_logged_in_one_line(caplog):
    with pytest.raises(errors.InvalidSpec):
        prepared(Means(failing))
    (record,) = caplog.records
    assert record.getMessage() == "The model does not run: RuntimeError: no kernel"
    assert not record.exc_info


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda logits: logits.view(1, 2), id="raises"),
        pytest.param(lambda logits: logits[:1], id="answers-the-first-alone"),
        pytest.param(lambda logits: logits.flip(0), id="mixes-them-up"),
        pytest.param(lambda logits: logits - logits.mean(0) * 0.1, id="depends-on-its-neighbours"),
    ],
)
def test_a_model_that_answers_a_batch_otherwise_than_its_images_is_asked_one_by_one(change):
    module = Means(change)
    model = TorchModel(module)
    found = prepare(Loaded(model=model, reference=model, classes=None), classes=CLASSES, image_size=16)
    assert isinstance(found, OneByOne)
    batch = torch.randn(3, 3, 16, 16, generator=torch.Generator().manual_seed(1))
    expected = torch.cat([module(image) for image in batch.split(1)])
    torch.testing.assert_close(torch.from_numpy(found(batch.numpy())), expected)
