import errno
import gzip
import io
import json
import os
import pickle
import resource
import struct
import zipfile
from collections import OrderedDict
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from catfish_server import errors
from catfish_server.weights import unpickle
from tests.model_server.weights.files import archive, torch_bytes, weights


def equal(found, expected):
    assert list(found) == list(expected)
    assert all(torch.equal(found[key], expected[key]) for key in expected)
    assert all(found[key].dtype == expected[key].dtype for key in expected)
    return True


@pytest.mark.parametrize(
    "wrapped",
    [
        pytest.param(lambda w: w, id="bare"),
        pytest.param(OrderedDict, id="ordered"),
        pytest.param(lambda w: {"state_dict": w, "epoch": 3}, id="state_dict"),
        pytest.param(lambda w: {"model_state_dict": w, "loss": 0.5}, id="model_state_dict"),
        pytest.param(lambda w: {"model": w, "args": None}, id="model"),
        pytest.param(lambda w: {f"module.{key}": value for key, value in w.items()}, id="module-prefix"),
        pytest.param(lambda w: {f"_orig_mod.{key}": value for key, value in w.items()}, id="compiled-prefix"),
        pytest.param(
            lambda w: {"state_dict": {f"module.{key}": value for key, value in w.items()}},
            id="wrapped-and-prefixed",
        ),
        pytest.param(
            lambda w: {key: nn.Parameter(v, requires_grad=False) for key, v in w.items()}, id="parameters"
        ),
    ],
)
@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "before-1.6"])
def test_weights_are_read_however_people_wrap_them(saved, loaded, wrapped, zipped):
    path = saved(wrapped(weights()), _use_new_zipfile_serialization=zipped)
    equal(loaded(path), dict(sorted(weights().items())))


def test_a_prefix_that_only_some_keys_have_is_part_of_their_names(saved, loaded):
    path = saved({"module.a": torch.ones(1), "b": torch.ones(1)})
    assert set(loaded(path)) == {"module.a", "b"}


def test_safetensors_are_read_without_a_child(tmp_path, loaded):
    save_file({"module.a": torch.ones(2)}, tmp_path / "w.safetensors")
    equal(loaded(tmp_path / "w.safetensors"), {"a": torch.ones(2)})


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_precisions_become_float32(saved, loaded, dtype):
    equal(loaded(saved({"a": torch.ones(3, dtype=dtype)})), {"a": torch.ones(3)})


def test_tensors_that_share_memory_are_read_each_for_itself(saved, loaded):
    shared = torch.arange(12.0).reshape(3, 4)
    path = saved({"a": shared, "b": shared.t(), "c": shared[1]})
    equal(loaded(path), {"a": shared, "b": shared.t().contiguous(), "c": shared[1]})


def test_the_tensors_outlive_the_file(saved, loaded, tmp_path):
    path = saved(weights())
    found = loaded(path)
    path.unlink()
    assert list(tmp_path.iterdir()) == []
    assert float(found["a.weight"].sum()) == 15.0


def test_a_file_that_was_written_to_after_it_was_hashed_is_not_loaded(saved, loaded, fetched):
    path = saved(weights())
    version = fetched(path).version
    assert loaded(path, version=version)
    saved({**weights(), "b": torch.ones(1)})
    with pytest.raises(errors.WeightsUnreachable, match="was written to while it was being loaded"):
        loaded(path, version=version)


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(2, 2)


class Attack:
    def __reduce__(self):
        return os.system, ("touch /tmp/catfish-attack-succeeded",)


def cut_after(content, word):
    return content[: content.index(word) + len(word)]


def safetensors_bytes(header, data=b""):
    encoded = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(encoded)) + encoded + data


def recompressed(content):
    with zipfile.ZipFile(io.BytesIO(content)) as file:
        return archive({name: file.read(name) for name in file.namelist()}, zipfile.ZIP_DEFLATED)


BAD_FILES = {
    "empty": (lambda: b"", errors.DamagedWeights, "is empty"),
    "web-page": (lambda: b"\n <!DOCTYPE html><html>", errors.WebPage, "is a web page"),
    "xml": (lambda: b"<?xml version='1.0'?><Error/>", errors.WebPage, "is a web page or XML"),
    "lfs-pointer": (
        lambda: b"version https://git-lfs.github.com/spec/v1\noid sha256:0",
        errors.UnsupportedFormat,
        "is a Git LFS pointer",
    ),
    "gzip": (lambda: gzip.compress(torch_bytes(weights())), errors.UnsupportedFormat, "compressed with gzip"),
    "noise": (lambda: bytes(range(7, 200)), errors.UnsupportedFormat, "is neither"),
    "json": (lambda: b'{"error": "not found"}', errors.UnsupportedFormat, "is neither"),
    "truncated-zip": (
        lambda: torch_bytes(weights())[:-200],
        errors.DamagedWeights,
        "cut short or damaged",
    ),
    "truncated-pickle": (
        lambda: torch_bytes(weights(), _use_new_zipfile_serialization=False)[:-20],
        errors.DamagedWeights,
        "cut short or damaged",
    ),
    "truncated-pickle-early": (
        lambda: torch_bytes(weights(), _use_new_zipfile_serialization=False)[:60],
        errors.DamagedWeights,
        "cut short or damaged",
    ),
    "truncated-pickle-number": (
        lambda: torch_bytes(weights(), _use_new_zipfile_serialization=False)[:18],
        errors.DamagedWeights,
        "cut short or damaged",
    ),
    "truncated-pickle-name": (
        lambda: cut_after(torch_bytes(weights(), _use_new_zipfile_serialization=False), b"ctor"),
        errors.DamagedWeights,
        "cut short or damaged",
    ),
    "flipped-byte-order": (
        lambda: torch_bytes(weights()).replace(b"little", b"mittle"),
        errors.DamagedWeights,
        "cut short or damaged",
    ),
    "flipped-name": (
        lambda: (
            torch_bytes(weights()).replace(b"OrderedDict", b"OrderedDisk").replace(b"_rebuild", b"_rebuilt")
        ),
        errors.DamagedWeights,
        "not what its checksums say",
    ),
    "flipped-whole-model": (
        lambda: torch_bytes(nn.Linear(2, 2)).replace(b"in_features", b"im_features"),
        errors.PickledModel,
        "is a whole pickled model (torch.nn.modules.linear.Linear)",
    ),
    "another-zip": (
        lambda: archive({"a.txt": "hello"}),
        errors.UnsupportedFormat,
        "not one that torch.save wrote",
    ),
    "whole-model": (
        lambda: torch_bytes(nn.Sequential(nn.Linear(2, 2))),
        errors.PickledModel,
        "torch.save(torch.load('model.pt', weights_only=False).state_dict(), 'weights.pt')",
    ),
    "whole-model-before-1.6": (
        lambda: pickle.dumps(nn.Linear(2, 2), protocol=2),
        errors.PickledModel,
        "",
    ),
    "no-dict": (
        lambda: torch_bytes([torch.ones(1)]),
        errors.UnsupportedFormat,
        "holds a list, not a state_dict",
    ),
    "one-tensor": (lambda: torch_bytes(torch.ones(1)), errors.UnsupportedFormat, "holds a Tensor"),
    "empty-dict": (lambda: torch_bytes({}), errors.UnsupportedFormat, "holds no weights at all"),
    "not-a-tensor": (
        lambda: torch_bytes({"a": torch.ones(1), "epoch": 3}),
        errors.UnsupportedFormat,
        "holds a int under 'epoch'",
    ),
    "numbered": (lambda: torch_bytes({1: torch.ones(1)}), errors.UnsupportedFormat, "a key that is a int"),
    "sparse": (lambda: torch_bytes({"a": torch.ones(2, 2).to_sparse()}), errors.UnsupportedFormat, "sparse"),
    "meta": (
        lambda: torch_bytes({"a": torch.ones(2, device="meta")}),
        errors.UnsupportedFormat,
        "without data",
    ),
    "attack": (lambda: torch_bytes({"a": Attack()}), errors.UnsafeWeights, "wants to load"),
    "compressed": (lambda: recompressed(torch_bytes(weights())), errors.UnsafeWeights, "compressed entries"),
    "expanded": (
        lambda: torch_bytes({"a": torch.ones(1).expand(2**40)}),
        errors.UnsafeWeights,
        "claims 4398046511104 bytes of weights in a file of",
    ),
    "nan": (
        lambda: torch_bytes({"a": torch.tensor([1.0, float("nan")])}),
        errors.NonFiniteWeights,
        "1 values in 'a'",
    ),
    "infinite": (lambda: torch_bytes({"a": torch.tensor([float("-inf")])}), errors.NonFiniteWeights, "'a'"),
    "beyond-float32": (
        lambda: torch_bytes({"a": torch.tensor([1e300], dtype=torch.float64)}),
        errors.NonFiniteWeights,
        "'a'",
    ),
    "safetensors-huge-header": (
        lambda: struct.pack("<Q", 2**40) + b"{",
        errors.UnsafeWeights,
        "has a header of 1099511627776 bytes",
    ),
    "safetensors-truncated": (
        lambda: safetensors_bytes({"a": {"dtype": "F32", "shape": [4], "data_offsets": [0, 16]}}, b"1234"),
        errors.DamagedWeights,
        "is a safetensors file that is cut short or damaged",
    ),
    "safetensors-no-json": (
        lambda: safetensors_bytes(b"{nonsense"),
        errors.DamagedWeights,
        "is a safetensors file that is cut short or damaged",
    ),
    "safetensors-empty": (lambda: safetensors_bytes({}), errors.UnsupportedFormat, "holds no weights at all"),
    "safetensors-nan": (
        lambda: safetensors_bytes(
            {"a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}, struct.pack("<f", float("nan"))
        ),
        errors.NonFiniteWeights,
        "'a'",
    ),
}


def test_a_disk_that_fills_up_under_the_converted_weights_is_told_as_such(saved, tmp_path):
    """There was room when it was measured. A limit on the size of files stands in for the disk."""
    path = saved({"a": torch.ones(4000)})
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
    try:
        with pytest.raises(OSError) as failed:  # noqa: PT011 (the number says more than the words)
            unpickle.convert(path, tmp_path / "converted")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert failed.value.errno == errno.EFBIG


@pytest.mark.parametrize(("content", "failure", "says"), BAD_FILES.values(), ids=BAD_FILES)
def test_a_file_that_is_no_good_ends_in_the_reason_for_it(tmp_path, loaded, content, failure, says):
    path = tmp_path / "weights.pt"
    path.write_bytes(content())
    with pytest.raises(errors.StartupFailure, match=rf"^spec\.weights\.url: {path} ") as failed:
        loaded(path)
    assert (type(failed.value), says in str(failed.value)) == (failure, True), failed.value
    assert [left.name for left in tmp_path.iterdir()] == ["weights.pt"]
    assert not Path("/tmp/catfish-attack-succeeded").exists()
