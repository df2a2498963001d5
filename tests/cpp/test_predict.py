"""catfish-predict answers as Python does, for a module that came to it in each of the ways."""

import warnings

import numpy as np
import pytest
import torch

from catfish_server.tools import torch_int8
from catfish_server.tools.opened import Source
from tests.cpp import networks
from tests.cpp.conftest import SIZE
from tests.cpp.test_images import by_server
from tests.model_server.whole_models import save_onnx

pytestmark = pytest.mark.process  # compiles the programs, once

NAMES = ("cat", "fish")


@pytest.fixture(scope="module")
def tensors(pictures):
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Corrupt EXIF data")
        return {path: by_server(path.read_bytes(), SIZE) for path in sorted(pictures.iterdir())}


@pytest.fixture(scope="module")
def module(request, tensors):
    torch.set_num_threads(1)
    return networks.network(request.param, torch.from_numpy(np.stack(list(tensors.values())[::3])))


@pytest.fixture
def saved(tmp_path):
    """A path for a model of a few hundred megabytes, which does not stay."""
    yield tmp_path / "model"
    (tmp_path / "model").unlink(missing_ok=True)


def python(module, tensors):
    with torch.inference_mode():
        return np.concatenate([module(torch.from_numpy(tensor)[None]).numpy() for tensor in tensors])


def by_program(call, program, path, tensors):
    data = b"".join(np.ascontiguousarray(tensor).tobytes() for tensor in tensors)
    code, output, errors = call(program, "logits", path, SIZE, data=data)
    assert (code, errors) == (0, [])
    return np.frombuffer(output, np.float32).reshape(len(tensors), 2)


def compare_answers(call, program, path, logits, tensors):
    code, output, errors = call(program, path, *tensors)
    assert (code, errors) == (0, [])
    lines = output.decode().splitlines()
    assert len(lines) == len(tensors)
    seen = set()
    for line, row, image in zip(lines, logits, tensors, strict=True):
        expected = torch.from_numpy(row).double().softmax(0).numpy()
        name, label, probability = line.rsplit(" ", 2)
        assert (name, label) == (f"{image}:", NAMES[expected.argmax()])
        assert float(probability) == pytest.approx(expected.max(), abs=0.02)
        seen.add(label)
    assert seen == set(NAMES)


@pytest.mark.parametrize("module", networks.MAKE, indirect=True, ids=str)
@pytest.mark.parametrize("way", ["traced", "scripted", "hybrid"])
def test_a_module_answers_as_in_python(call, module, way, saved, tensors):
    networks.save(module, way, saved)
    some = dict(list(tensors.items())[::2])
    logits = python(module, some.values())
    assert np.abs(by_program(call, "probe", saved, list(some.values())) - logits).max() <= 1e-4
    compare_answers(call, "catfish-predict", saved, logits, some)


@pytest.mark.parametrize("module", ["cnnnet"], indirect=True)
def test_a_quantized_module_answers_as_in_python(call, module, saved, tensors):
    some = dict(list(tensors.items())[::3])
    logits = python(networks.save(module, "quantized", saved), some.values())
    assert saved.stat().st_size < 100_000_000  # a quarter: most of it is linear layers
    assert np.abs(by_program(call, "probe", saved, list(some.values())) - logits).max() <= 1e-4
    compare_answers(call, "catfish-predict", saved, logits, some)


@pytest.mark.parametrize("module", ["resnet50"], indirect=True)
def test_a_file_of_the_command_in_8_bits_of_torch_answers_as_in_python(
    call, module, saved, tensors, tmp_path
):
    torch.save(module.state_dict(), tmp_path / "weights.pt")
    opened = Source(path=tmp_path / "weights.pt", architecture="resnet50").open()
    torch_int8.static(opened, saved, np.stack(list(tensors.values())))
    torch_int8.annotate(saved, {"classes": networks.CLASSES})
    (tmp_path / "weights.pt").unlink()
    some = dict(list(tensors.items())[::3])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        logits = python(torch.jit.load(saved), some.values())
    assert saved.stat().st_size < 30_000_000
    assert np.abs(by_program(call, "probe", saved, list(some.values())) - logits).max() <= 1e-4
    compare_answers(call, "catfish-predict", saved, logits, some)


@pytest.mark.parametrize("module", ["cnnnet"], indirect=True)
@pytest.mark.usefixtures("onnx_programs")
def test_an_onnx_model_answers_as_the_module_in_python(call, module, saved, tensors, monkeypatch):
    monkeypatch.setattr("tests.model_server.whole_models.SIZE", SIZE)
    save_onnx(module, saved)
    some = dict(list(tensors.items())[::3])
    logits = python(module, some.values())
    assert np.abs(by_program(call, "probe-onnx", saved, list(some.values())) - logits).max() <= 1e-4
    compare_answers(call, "catfish-predict-onnx", saved, logits, some)


@pytest.mark.parametrize("module", ["cnnnet"], indirect=True)
def test_the_book_s_programs_run(call, module, saved):
    networks.save(module, "traced", saved)
    code, output, errors = call("helloworld")
    assert (code, output.split(b"\n")[:2], errors) == (0, [b" 1  1", b" 1  1"], [])
    code, output, errors = call("load-cnn", saved)
    assert (code, errors) == (0, [])
    assert b"CPUFloatType{1,2}" in output
