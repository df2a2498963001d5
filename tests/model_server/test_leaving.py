"""Told to stop before it serves, the server leaves at once and leaves nothing behind."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from pathlib import Path

import pytest
from PIL import Image

from catfish_server.startup import LEAVE_SECONDS
from tests.model_server.conftest import SECONDS

pytestmark = pytest.mark.process


def test_told_to_stop_in_its_first_moments_it_leaves_with_0(program, weights):
    running = program(CATFISH_MODEL_LOCATION=weights)
    running.until("/livez", 200)  # torch is being imported now
    running.process.send_signal(signal.SIGTERM)
    code, output, told = running.end()
    assert (code, told) == (0, None)
    assert "Traceback" not in output


@pytest.mark.parametrize("times", [1, 1000], ids=["once", "all the time"])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_told_to_stop_while_fetching_it_leaves_at_once_and_cleans_up(
    program, silent_server, tmp_path, number, times
):
    url, asked = silent_server
    running = program(CATFISH_MODEL_LOCATION=url)
    assert asked.wait(SECONDS)
    started = time.monotonic()
    for _ in range(times):
        running.process.send_signal(number)
    code, output, told = running.end()
    assert (code, told) == (0, None)
    assert time.monotonic() - started < 5
    assert "Traceback" not in output
    assert [path.name for path in tmp_path.glob("catfish-weights-*/*")] == []


IMPORTING = """
import os, sys, time

class Hook:
    def find_spec(self, name, *_):
        if name == os.environ["HELD"]:
            os.write(int(os.environ["TOLD"]), b"importing")
            {}

sys.meta_path.insert(0, Hook())
"""
"""As sitecustomize, which Python imports before anything of the program: says when a module is being imported."""

SLOW = f"time.sleep({SECONDS})"
DEAF = """
            while True:
                try:
                    time.sleep(3600)
                except BaseException:
                    pass
"""


@contextmanager
def held(tmp_path, module, how, *before, **env):
    """The server as a process that is importing the module, which takes as long as `how` says."""
    (tmp_path / "sitecustomize.py").write_text(IMPORTING.replace("{}", how))
    told, tell = os.pipe()
    path = os.pathsep.join([str(tmp_path), *sys.path])
    program = subprocess.Popen(
        [*before, sys.executable, "-m", "catfish_server"],
        env={**os.environ, "PYTHONPATH": path, "TOLD": str(tell), "HELD": module, **env},
        pass_fds=[tell],
    )
    os.close(tell)
    try:
        assert os.read(told, 100) == b"importing"
        yield program
    finally:
        program.kill()
        program.wait()
        os.close(told)


def test_an_import_that_swallows_exceptions_does_not_keep_it(tmp_path, weights):
    settings = {"MODEL_LOCATION": str(weights), "CLASSES": "cat,fish", "ADMIN_PORT": "0"}
    env = {f"CATFISH_{name}": value for name, value in settings.items()}
    with held(tmp_path, "catfish_server.inference.build", DEAF, **env) as program:
        program.send_signal(signal.SIGTERM)
        assert program.wait(LEAVE_SECONDS * 3) == 0


def test_the_first_process_of_a_container_leaves_at_once_while_it_imports(tmp_path):
    """The kernel does not end such a process by a signal that it has no handler for."""
    if os.geteuid() != 0:
        pytest.skip("root alone makes a namespace of processes")
    first_of_all = ("unshare", "--pid", "--fork", "--kill-child")
    with held(tmp_path, "catfish_server.startup", SLOW, *first_of_all) as program:
        (first,) = Path(f"/proc/{program.pid}/task/{program.pid}/children").read_text().split()
        os.kill(int(first), signal.SIGTERM)
        assert program.wait(SECONDS / 2) == 0


@pytest.fixture
def slow(weights, tmp_path):
    """Settings with which every stage after the fetching takes a while: large images, and many golden ones."""
    names = [f"{number}.png" for number in range(100)]
    for name in names:
        Image.new("RGB", (64, 64), (200, 30, 90)).save(tmp_path / name)
    return {
        "CATFISH_MODEL_LOCATION": weights,
        "CATFISH_IMAGE_SIZE": 640,
        "CATFISH_VERIFICATION_DIR": tmp_path,
        "CATFISH_VERIFICATION_SAMPLES": json.dumps([[name, "cat"] for name in names]),
    }


@pytest.mark.parametrize("stage", ["loading", "warming", "verifying"])
def test_in_every_stage_it_is_alive_and_not_ready_and_told_to_stop_leaves_at_once(
    program, slow, stage, tmp_path
):
    running = program(**slow)
    until_in(running, stage)
    began = time.monotonic()
    running.process.send_signal(signal.SIGTERM)
    code, output, told = running.end()
    assert (code, told) == (0, None)
    assert time.monotonic() - began < 5
    assert "Traceback" not in output
    assert [path.name for path in tmp_path.glob("catfish-weights-*/*")] == []


def until_in(running, stage):
    """Waits for a stage; from the first answer on it is alive at every look, and not ready."""
    deadline = time.monotonic() + SECONDS
    reached = None
    while reached != stage:
        assert running.process.poll() is None, running.errors.read_text()
        assert time.monotonic() < deadline, f"{stage} was not seen, {reached} was"
        status, body = running.probe("/readyz")
        if status:
            reached = json.loads(body)["stage"]
            assert (status, running.probe("/livez")[0]) == (503, 200), reached
        threading.Event().wait(0.01)
