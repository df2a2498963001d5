import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from localcluster.errors import LocalClusterError
from localcluster.processes import Daemon, await_alive


@pytest.fixture
def sleeper(tmp_path):
    daemon = Daemon(name="sleeper", argv=("sleep", "600"), directory=tmp_path)
    yield daemon
    daemon.stop()


def test_a_daemon_runs_until_it_is_stopped(sleeper):
    sleeper.start()
    pid = sleeper.pid
    assert pid is not None
    sleeper.stop()
    assert (sleeper.alive(), Path(f"/proc/{pid}").exists()) == (False, False)


def test_starting_and_stopping_twice_changes_nothing(sleeper):
    sleeper.start()
    pid = sleeper.pid
    sleeper.start()
    assert sleeper.pid == pid
    sleeper.stop()
    sleeper.stop()


def test_a_daemon_outlives_the_command_that_started_it(tmp_path):
    source = (
        "import sys; from pathlib import Path; from localcluster.processes import Daemon;"
        "Daemon(name='long', argv=('sleep', '600'), directory=Path(sys.argv[1])).start()"
    )
    subprocess.run([sys.executable, "-c", source, str(tmp_path)], check=True, cwd=Path(__file__).parents[2])
    daemon = Daemon(name="long", argv=("sleep", "600"), directory=tmp_path)
    assert daemon.alive()
    assert os.getsid(daemon.pid) == daemon.pid  # else Ctrl-C at the terminal would reach it
    daemon.stop()
    assert not daemon.alive()


def test_a_stranger_with_the_recorded_id_is_left_alone(sleeper, tmp_path):
    stranger = subprocess.Popen(["sleep", "600"])
    try:
        note = {"pid": stranger.pid, "started": 1}
        (tmp_path / "sleeper.pid").write_text(json.dumps(note))
        assert not sleeper.alive()
        sleeper.stop()
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()


def test_a_daemon_that_ignores_sigterm_is_killed(tmp_path):
    script = "trap '' TERM; echo deaf; while :; do sleep 0.1; done"
    daemon = Daemon(name="deaf", argv=("sh", "-c", script), directory=tmp_path)
    daemon.start()
    deadline = time.monotonic() + 10
    while "deaf" not in daemon.tail():
        await_alive(daemon, until=deadline)
    start = time.monotonic()
    daemon.stop(seconds=0.3)
    assert not daemon.alive()
    assert 0.3 <= time.monotonic() - start < 5


def test_a_daemon_killed_by_others_counts_as_dead_at_once(sleeper):
    sleeper.start()
    os.kill(sleeper.pid, signal.SIGKILL)
    deadline = time.monotonic() + 5
    while sleeper.alive():
        assert time.monotonic() < deadline


def test_a_daemon_that_dies_at_once_is_quoted(tmp_path):
    daemon = Daemon(name="brief", argv=("sh", "-c", "echo no such flag >&2; exit 3"), directory=tmp_path)
    daemon.start()
    deadline = time.monotonic() + 10
    while daemon.alive():
        assert time.monotonic() < deadline
    with pytest.raises(LocalClusterError, match=r"(?s)brief ended.*no such flag"):
        await_alive(daemon, until=deadline)


def test_the_log_holds_the_last_run_and_the_one_before_is_kept(tmp_path):
    for word in ("first", "second"):
        daemon = Daemon(name="talker", argv=("sh", "-c", f"echo {word}; exec sleep 600"), directory=tmp_path)
        daemon.start()
        deadline = time.monotonic() + 10
        while not daemon.tail():
            await_alive(daemon, until=deadline)
        daemon.stop()
    assert daemon.log.read_text() == "second\n"
    assert (tmp_path / "talker.log.1").read_text() == "first\n"


def test_a_missing_program_is_named(tmp_path):
    with pytest.raises(LocalClusterError, match="cannot run no-such-program"):
        Daemon(name="none", argv=("no-such-program",), directory=tmp_path).start()
