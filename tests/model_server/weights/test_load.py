import gzip
import io
import json
import os
import pickle
import signal
import struct
import subprocess
import sys
import threading
import time
import zipfile
from collections import OrderedDict
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from catfish_server import errors
from catfish_server.weights import load, location
from catfish_server.weights.fetch import Fetched
from catfish_server.weights.sandbox import Sandbox


@pytest.fixture
def loaded(tmp_path):
    """Loads a file in a fresh sandbox."""

    def run(path, *, temporary=False, heartbeat=lambda: None):
        return load.load(
            Fetched(path=path, temporary=temporary, sha256=None),
            location=location.parse(str(path)),
            directory=tmp_path,
            sandbox=Sandbox(),
            heartbeat=heartbeat,
        )

    return run


@pytest.fixture
def saved(tmp_path):
    """Saves an object as people do, and returns the path."""

    def run(something, **options):
        path = tmp_path / "weights.pt"
        torch.save(something, path, **options)
        return path

    return run


def weights():
    return {"a.weight": torch.arange(6.0).reshape(2, 3), "a.count": torch.tensor(7)}


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


def test_the_tensors_outlive_the_file_and_a_download_goes(saved, loaded, tmp_path):
    found = loaded(saved(weights()), temporary=True)
    assert list(tmp_path.iterdir()) == []
    assert float(found["a.weight"].sum()) == 15.0


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(2, 2)


class Attack:
    def __reduce__(self):
        return os.system, ("touch /tmp/catfish-attack-succeeded",)


def archive(entries, compression=zipfile.ZIP_STORED):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as file:
        for name, content in entries.items():
            file.writestr(name, content)
    return buffer.getvalue()


def torch_bytes(something, **options):
    buffer = io.BytesIO()
    torch.save(something, buffer, **options)
    return buffer.getvalue()


def safetensors_bytes(header, data=b""):
    encoded = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(encoded)) + encoded + data


def recompressed(content):
    with zipfile.ZipFile(io.BytesIO(content)) as file:
        return archive({name: file.read(name) for name in file.namelist()}, zipfile.ZIP_DEFLATED)


BAD_FILES = {
    "empty": (lambda: b"", errors.UnsupportedFormat, "is empty"),
    "web-page": (lambda: b"\n <!DOCTYPE html><html>", errors.UnsupportedFormat, "is a web page"),
    "xml": (lambda: b"<?xml version='1.0'?><Error/>", errors.UnsupportedFormat, "is a web page or XML"),
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
        errors.UnsupportedFormat,
        "cut short or damaged",
    ),
    "truncated-pickle": (
        lambda: torch_bytes(weights(), _use_new_zipfile_serialization=False)[:-20],
        errors.UnsupportedFormat,
        "cut short or damaged",
    ),
    "truncated-pickle-early": (
        lambda: torch_bytes(weights(), _use_new_zipfile_serialization=False)[:60],
        errors.UnsupportedFormat,
        "cut short or damaged",
    ),
    "another-zip": (
        lambda: archive({"a.txt": "hello"}),
        errors.UnsupportedFormat,
        "not one that torch.save wrote",
    ),
    "whole-model": (
        lambda: torch_bytes(nn.Sequential(nn.Linear(2, 2))),
        errors.UnsupportedFormat,
        "torch.save(torch.load('model.pt', weights_only=False).state_dict(), 'weights.pt')",
    ),
    "whole-model-before-1.6": (
        lambda: pickle.dumps(nn.Linear(2, 2), protocol=2),
        errors.UnsupportedFormat,
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
        errors.UnsupportedFormat,
        "damaged safetensors",
    ),
    "safetensors-no-json": (
        lambda: safetensors_bytes(b"{nonsense"),
        errors.UnsupportedFormat,
        "damaged safetensors",
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


@pytest.mark.parametrize(("content", "failure", "says"), BAD_FILES.values(), ids=BAD_FILES)
def test_a_file_that_is_no_good_ends_in_the_reason_for_it(tmp_path, loaded, content, failure, says):
    path = tmp_path / "weights.pt"
    path.write_bytes(content())
    with pytest.raises(errors.StartupFailure, match=rf"^spec\.weights\.url: {path} ") as failed:
        loaded(path)
    assert (type(failed.value), says in str(failed.value)) == (failure, True), failed.value
    assert [left.name for left in tmp_path.iterdir()] == ["weights.pt"]
    assert not Path("/tmp/catfish-attack-succeeded").exists()


def test_a_file_that_asks_for_more_memory_than_weights_need_is_unsafe(tmp_path, loaded):
    """A claim of a storage of 2**34 numbers; torch allocates before it looks at the data."""
    content = torch_bytes({"a": torch.ones(4)}, _use_new_zipfile_serialization=False)
    claimed = content.replace(b"cpuq\x06K\x04N", b"cpuq\x06\x8a\x06\x00\x00\x00\x00\x10\x00N")
    assert claimed != content
    path = tmp_path / "weights.pt"
    path.write_bytes(claimed)
    with pytest.raises(errors.UnsafeWeights, match="more memory than weights need"):
        loaded(path)


def pickle_alone(body):
    return archive({"archive/data.pkl": b"\x80\x02" + body + b".", "archive/version": "3\n"})


def test_a_file_that_takes_too_much_time_is_unsafe(tmp_path, loaded, monkeypatch):
    """A pickle of numbers; the limit is lowered so that the test need not be patient."""
    monkeypatch.setattr("catfish_server.weights.sandbox.CPU_SECONDS", 1)
    path = tmp_path / "weights.pt"
    path.write_bytes(pickle_alone(b"K\x01" * 20_000_000))
    with pytest.raises(errors.UnsafeWeights, match="more processor time"):
        loaded(path)


def test_a_file_whose_pickle_asks_for_too_much_memory_is_unsafe(tmp_path, loaded):
    """One byte of the file becomes one empty list of 56 bytes."""
    path = tmp_path / "weights.pt"
    path.write_bytes(pickle_alone(b"]" * 30_000_000))
    with pytest.raises(errors.UnsafeWeights, match=r"more (memory )?than weights need"):
        loaded(path)


def test_the_child_keeps_the_probes_alive_while_it_works(saved, loaded):
    beats = []
    loaded(saved({f"a{number}": torch.ones(1) for number in range(50)}), heartbeat=lambda: beats.append(1))
    assert len(beats) >= 50


def test_a_child_that_is_killed_for_memory_says_what_to_raise(saved, tmp_path):
    sandbox = Sandbox(likely=False)
    os.kill(sandbox._pid, signal.SIGKILL)
    with pytest.raises(errors.UnsafeWeights, match=r"raise spec\.resources\.limits\.memory"):
        sandbox.convert(saved(weights()), tmp_path / "out", heartbeat=lambda: None)
    sandbox.close()


def test_a_child_that_is_not_needed_leaves_nothing_behind():
    descriptors = len(list(Path("/proc/self/fd").iterdir()))
    sandbox = Sandbox(likely=False)
    pid = sandbox._pid
    sandbox.close()
    sandbox.close()
    assert not Path(f"/proc/{pid}").exists()
    assert len(list(Path("/proc/self/fd").iterdir())) == descriptors


def test_a_child_ends_when_its_parent_does():
    program = "import os, sys\nfrom catfish_server.weights.sandbox import Sandbox\nprint(Sandbox(likely=False)._pid)\n"
    result = subprocess.run(
        [sys.executable, "-c", program + "sys.stdout.flush(); os._exit(0)"],
        env={"PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    gone, deadline = threading.Event(), time.monotonic() + 10
    state = Path(f"/proc/{int(result.stdout)}/stat")
    while time.monotonic() < deadline and not gone.wait(0.02):
        if not state.exists() or state.read_text().split()[2] == "Z":
            gone.set()
    assert gone.is_set()


def test_the_parent_does_not_import_torch_with_the_sandbox():
    program = "import sys; import catfish_server.startup; print('torch' in sys.modules)"
    result = subprocess.run(
        [sys.executable, "-c", program],
        env={"PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert result.stdout.strip() == "False"
