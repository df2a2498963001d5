"""Ctrl-C, SIGTERM and a terminal that is closed: nothing that is half done stays."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from catfish_server.tools import stopping
from catfish_server.tools.__main__ import run

pytestmark = pytest.mark.process

PHASES = {"writing": ("place", ".out-*"), "comparing": ("temporary", "catfish-agreement-*/job.json")}
"""What there is as soon as the command is so far, by the directory that it is in."""


HEEDING = """
import signal
for number in (signal.SIGINT, signal.SIGHUP):
    signal.signal(number, signal.SIG_DFL)
from catfish_server.tools.__main__ import main
main()
"""
"""The command: tests that run in the background ignore Ctrl-C, and so does what they start."""


@pytest.fixture
def place(tmp_path):
    """An empty directory for OUT, and one for temporary files beside it."""
    for name in ("place", "temporary"):
        (tmp_path / name).mkdir()
    return tmp_path


def export(kit, place):
    words = ["export", "trace", kit.weights, place / "place" / "out", "--architecture", "resnet18", "--json"]
    return subprocess.Popen(
        [sys.executable, "-c", HEEDING, *map(str, words)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": ":".join(sys.path), "TMPDIR": str(place / "temporary")},
    )


def wait_until(there, process, seconds=120):
    deadline = time.monotonic() + seconds
    while not there():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.01)


def processes_of(place):
    """Command lines of the processes that work in this place, the test's own not among them."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = path.read_bytes().decode(errors="replace")
        except OSError:
            continue
        if str(place) in line and path.parent.name != str(os.getpid()):
            found.append(line)
    return found


@pytest.mark.parametrize(
    ("number", "phase", "code"),
    [
        (signal.SIGINT, "comparing", 130),
        (signal.SIGTERM, "comparing", 143),
        (signal.SIGTERM, "writing", 143),
        (signal.SIGHUP, "writing", 129),
    ],
)
def test_a_signal_ends_the_command_and_leaves_nothing_half_done(kit, place, number, phase, code):
    folder, pattern = PHASES[phase]
    with export(kit, place) as process:
        wait_until(lambda: any((place / folder).glob(pattern)), process)
        process.send_signal(number)
        told, complaint = process.communicate(timeout=120)
    sentence = f"stopped by {number.name} before it was done"
    assert (process.returncode, complaint) == (code, f"catfish: {sentence}\n")
    assert told == f'{{\n  "error": "{sentence}",\n  "exit_code": {code}\n}}\n'
    left = {path.name for path in place.rglob("*")} - {".ses"}  # which is ONNX Runtime's
    assert left == {"place", "temporary"}
    assert processes_of(place) == []


@pytest.fixture
def signals():
    before = {number: signal.getsignal(number) for number in stopping.HEEDED}
    made = stopping.Signals()
    made.heed()
    yield made
    for number, handler in before.items():
        signal.signal(number, handler)


def swallowed(report):
    with contextlib.suppress(BaseException):
        signal.raise_signal(signal.SIGTERM)
    report.progress("going on")


def made_another(_report):
    try:
        signal.raise_signal(signal.SIGTERM)
    except BaseException as error:
        raise ImportError("half a package") from error


@pytest.mark.parametrize("ends", [swallowed, made_another])
def test_a_signal_is_heeded_whatever_a_library_makes_of_it(kit, monkeypatch, capsys, signals, ends):
    """As an import does that catches everything."""
    monkeypatch.setattr("catfish_server.tools.verbs.digest.run", lambda _arguments, report: ends(report))
    assert run(["digest", str(kit.weights)], signals) == 143
    assert capsys.readouterr() == ("", "catfish: stopped by SIGTERM before it was done\n")


def test_who_asks_three_times_is_not_kept_waiting(signals):
    for _ in range(2):
        with pytest.raises(stopping.Stopped, match="stopped by SIGTERM"):
            signal.raise_signal(signal.SIGTERM)
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
    with pytest.raises(stopping.Stopped):
        signals.check()
