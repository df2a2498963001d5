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


def test_two_commands_of_one_name_do_not_write_over_each_other(monkeypatch, tmp_path):
    monkeypatch.setenv("CATFISH_CACHE", str(tmp_path))
    wait = "until [ -e go-on ]; do sleep 0.05; done"
    first = tools.start(
        "sh", "-c", f"cd {tmp_path}; echo first; touch begun; {wait}; echo first again", name="build"
    )
    try:
        while not (tmp_path / "begun").exists():
            assert first.process.poll() is None
        tools.start("echo", "a line of the second one", name="build").process.wait(30)
        (tmp_path / "go-on").touch()
        first.process.wait(30)
    finally:
        first.stop()
    assert first.log.read_text() == "a line of the second one\nfirst again\n"
