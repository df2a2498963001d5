"""Models that need more memory than there is: a sentence instead of an exit code."""

import resource

import pytest
import torch

from catfish_server import errors
from catfish_server.inference import bounded, build
from catfish_server.inference.engines import memory
from catfish_server.weights import exhausted
from tests.model_server.inference.test_build import saved
from tests.model_server.whole_models import SIZE
from tests.spoiled_weights import hungry_onnx

GPU, POD = r"^spec\.resources\.limits: the GPU", r"^spec\.resources\.limits\.memory: is not enough"


@pytest.mark.parametrize(
    ("error", "failure", "says"),
    [
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB."), errors.OutOfMemory, GPU),
        (RuntimeError("CUDA error: out of memory\nCompile with"), errors.OutOfMemory, GPU),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling"), errors.OutOfMemory, GPU),
        (RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"), errors.OutOfMemory, GPU),
        (RuntimeError("[enforce] DefaultCPUAllocator: can't allocate memory: you"), errors.OutOfMemory, POD),
        (MemoryError(), errors.OutOfMemory, POD),
        (
            RuntimeError("mat1 and mat2 shapes cannot be multiplied"),
            errors.InvalidSpec,
            r"^spec\.model\.imageSize",
        ),
    ],
    ids=["torch", "driver", "cublas", "cudnn", "cpu", "python", "no memory"],
)
def test_memory_that_ran_out_while_it_warms_up_is_told_apart(
    built, tmp_path, monkeypatch, caplog, *, error, failure, says
):
    def warm_up(_):
        raise error

    monkeypatch.setattr(build.Classifier, "warm_up", warm_up)
    with pytest.raises(failure, match=says) as caught:
        built(saved(tmp_path, '["cat", "fish"]'), architecture="resnet18")
    assert caught.value.retriable == (failure is errors.OutOfMemory)
    (line,) = [found.getMessage() for found in caplog.records if found.name == exhausted.logger.name]
    assert line == f"The model does not run: {type(error).__name__}: {str(error).partition(chr(10))[0]}"


def test_a_gpu_without_room_for_the_weights_is_told_as_well(built, tmp_path, monkeypatch):
    from catfish_server.inference.engines import modules

    def on(_place, _module):
        raise torch.OutOfMemoryError("CUDA out of memory.")

    monkeypatch.setattr(modules, "on", on)
    with pytest.raises(errors.OutOfMemory, match=GPU):
        built(saved(tmp_path, '["cat", "fish"]'), architecture="resnet18")


MIB = 2**20


def hungry(tmp_path, floats):
    """A kilobyte of ONNX that asks for so many floats."""
    path = tmp_path / "hungry.onnx"
    path.write_bytes(hungry_onnx(floats, SIZE))
    assert path.stat().st_size < 1000
    return path


def test_an_onnx_model_that_asks_for_more_memory_than_is_left_ends_with_a_sentence(
    built, tmp_path, monkeypatch
):
    before, asked = resource.getrlimit(resource.RLIMIT_AS), []
    real = resource.setrlimit
    monkeypatch.setattr(resource, "setrlimit", lambda *limit: (asked.append(limit), real(*limit)))
    monkeypatch.setattr(memory, "room", lambda: 64 * MIB)
    with pytest.raises(errors.OutOfMemory, match=POD):
        built(hungry(tmp_path, 128 * MIB), architecture="onnx", classes=("a", "b", "c"))
    assert resource.getrlimit(resource.RLIMIT_AS) == before
    assert len(asked) >= 2


def test_an_onnx_model_that_fits_is_bounded_while_it_gets_ready_and_not_after(built, files, monkeypatch):
    before, seen = resource.getrlimit(resource.RLIMIT_AS), []
    real = build.prepare

    def prepare(*arguments, **more):
        seen.append(resource.getrlimit(resource.RLIMIT_AS)[0])
        return real(*arguments, **more)

    monkeypatch.setattr(build, "prepare", prepare)
    monkeypatch.setattr(memory, "room", lambda: 8 * 1024 * MIB)
    built(files.path("onnx"), architecture="onnx")
    built(files.path("torchscript"), architecture="torchscript")
    assert 8 * 1024 * MIB < seen[0] != before[0]
    assert seen[1] == resource.getrlimit(resource.RLIMIT_AS)[0] == before[0]


def test_without_what_tells_of_this_process_there_is_no_bound(tmp_path):
    before = resource.getrlimit(resource.RLIMIT_AS)
    with bounded.to_room(needed=True, status=tmp_path / "status"):
        assert resource.getrlimit(resource.RLIMIT_AS) == before
