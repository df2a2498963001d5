"""Real engines against eager, and what becomes of those that are not as good."""

import numpy as np
import pytest
import torch

from catfish_server.inference.engines import candidates, modules, probes, trial
from catfish_server.inference.engines.candidates import BY_NAME, Candidate
from catfish_server.inference.engines.choose import State
from catfish_server.models import registry
from catfish_server.models.module import TorchModel
from tests.model_server.engines import CLASSES, SIZE, images

CPU = torch.device("cpu")
TOLERANCE = probes.TOLERANCE["cpu"]


@pytest.fixture(scope="module")
def built(weights, tmp_path_factory):
    """The file of each engine, exported once."""
    directory = tmp_path_factory.mktemp("engines")
    module = registry.build("resnet18", weights, classes=CLASSES, image_size=SIZE)
    TorchModel.channels_last(module)
    for candidate in candidates.CANDIDATES:
        candidate.export(module, directory / candidate.name, example=images(2, SIZE))
    return directory


@pytest.mark.parametrize("engine", BY_NAME)
def test_an_engine_answers_as_eager_does(source, built, engine):
    model = BY_NAME[engine].load(built / engine, CPU)
    many = images(320, SIZE, seed=2)
    sizes = (1, 2, 3, 4, 6, 8, 8, 32)
    assert sum(sizes) * 5 == len(many)
    found, expected, start = [], [], 0
    for size in sizes * 5:
        found.append(model(many[start : start + size]))
        expected.append(source.model(many[start : start + size]))
        start += size
    assert probes.difference(found, expected) < TOLERANCE
    classes = np.concatenate(expected).argmax(axis=1)
    assert len(np.unique(classes)) > 3, "a model that answers one class for all shows nothing"
    assert np.array_equal(np.concatenate(found).argmax(axis=1), classes)


@pytest.mark.parametrize("engine", BY_NAME)
def test_an_engine_answers_as_eager_does_at_224_pixels(weights, tmp_path, engine):
    module = registry.build("resnet18", weights, classes=CLASSES, image_size=224)
    eager = TorchModel.channels_last(module)
    BY_NAME[engine].export(module, tmp_path / "model", example=images(2, 224))
    model = BY_NAME[engine].load(tmp_path / "model", CPU)
    batches = probes.batches(224, sizes=(1, 3), seed=3)
    assert probes.difference([model(b) for b in batches], [eager(b) for b in batches]) < TOLERANCE


def double(name, answer=lambda logits: logits):
    """An engine that answers eager's logits, changed."""
    eager = {}

    def export(module, path, *, example):  # noqa: ARG001 (as the others)
        eager["module"] = TorchModel(module)
        path.write_bytes(b"")

    return Candidate(
        name=name,
        devices=frozenset({"cpu"}),
        export=export,
        load=lambda _path, _place: lambda batch: answer(eager["module"](batch)),
        fixed_bytes=0,
        per_weight_byte=0,
    )


def failing(_logits):
    raise RuntimeError("no kernel\nfor this processor")


def test_an_engine_that_disagrees_or_fails_is_not_used_and_it_is_said_why(source, tmp_path):
    tried = [
        double("off", lambda logits: logits * 1.01),
        double("broken", failing),
        double("of-one", lambda logits: logits[:1]),
    ]
    outcomes = trial.run(source.module, tried, tmp_path, place=CPU, image_size=SIZE)
    assert [(outcome.engine, outcome.state) for outcome in outcomes] == [
        ("eager", State.CHOSEN),
        ("off", State.DISAGREES),
        ("broken", State.FAILED),
        ("of-one", State.DISAGREES),
    ]
    assert (
        str(outcomes[1]) == "off: disagrees, its answers differ by 0.01 of the largest, and 0.001 is allowed"
    )
    assert str(outcomes[2]) == "broken: failed, RuntimeError: no kernel for this processor"


def test_a_forced_engine_is_used_though_it_is_no_faster(source, tmp_path):
    chosen, eager = (
        trial.run(source.module, [double("same")], tmp_path, place=CPU, image_size=SIZE, forced=forced)
        for forced in (True, False)
    )
    assert {outcome.engine: outcome.state for outcome in chosen} == {
        "eager": State.SLOWER,
        "same": State.CHOSEN,
    }
    assert eager[0].milliseconds > 0


def test_a_batch_goes_to_the_device_and_comes_back(source):
    moving = modules.Moving(source.module, CPU)
    batch = images(3, SIZE)
    assert np.array_equal(moving(batch), source.model(batch))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_an_engine_on_a_cuda_device_answers_as_eager_does_on_the_cpu(weights, source, tmp_path):
    place = modules.device()
    batches = probes.batches(SIZE)
    expected = [source.model(batch) for batch in batches]
    moved = modules.on(place, registry.build("resnet18", weights, classes=CLASSES, image_size=SIZE))
    BY_NAME["torchscript"].export(moved.module, tmp_path / "model", example=images(2, SIZE))
    for model in (moved, BY_NAME["torchscript"].load(tmp_path / "model", place)):
        assert probes.difference([model(batch) for batch in batches], expected) < probes.TOLERANCE["cuda"]
