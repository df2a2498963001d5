"""The child process that reads a pickle: its limits, and that it leaves nothing behind."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import torch

from catfish_server import errors
from catfish_server.weights.sandbox import Sandbox
from tests.model_server.weights.files import archive, torch_bytes, weights


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
    with pytest.raises(errors.OutOfMemory, match=r"^spec\.resources\.limits\.memory: .* raise it"):
        sandbox.convert(saved(weights()), tmp_path / "out", heartbeat=lambda: None)
    sandbox.close()


def test_a_child_that_died_before_it_was_asked_says_what_to_raise(saved, tmp_path):
    sandbox = Sandbox(likely=False)
    os.kill(sandbox._pid, signal.SIGKILL)
    os.waitid(os.P_PID, sandbox._pid, os.WEXITED | os.WNOWAIT)  # its end of the pipe is closed now
    with pytest.raises(errors.OutOfMemory, match=r"^spec\.resources\.limits\.memory: .* raise it"):
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
