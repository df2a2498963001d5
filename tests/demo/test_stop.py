import sys

from demo import tools


def test_a_command_that_does_not_stop_in_time_is_killed(monkeypatch, tmp_path):
    monkeypatch.setenv("CATFISH_CACHE", str(tmp_path))
    monkeypatch.setattr(tools, "STOP_SECONDS", 0.2)
    script = (
        "import signal, time; signal.signal(15, signal.SIG_IGN); print('deaf', flush=True); time.sleep(60)"
    )
    running = tools.start(sys.executable, "-c", script, name="deaf")
    while "deaf" not in running.log.read_text():
        assert running.process.poll() is None
    running.stop()
    assert running.process.poll() == -9
