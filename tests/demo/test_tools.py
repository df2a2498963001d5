import io
import sys

import pytest

from demo import tools
from demo.report import DemoFailure, Report


@pytest.fixture(autouse=True)
def cache(monkeypatch, tmp_path):
    monkeypatch.setenv("CATFISH_CACHE", str(tmp_path))
    monkeypatch.delenv("PYTHONUNBUFFERED", raising=False)


def test_what_a_command_says_is_shown_while_it_runs_though_it_writes_to_a_file(monkeypatch):
    monkeypatch.setattr(tools, "TELL_FIRST", 0.0)
    monkeypatch.setattr(tools, "TELL_EVERY", 0.1)
    stream = io.StringIO()
    script = "import time; print('compiling'); time.sleep(1); print('done')"
    running = tools.start(sys.executable, "-c", script, name="slow")
    assert running.wait(Report(stream=stream)) == "compiling\ndone\n"
    assert "    compiling\n" in stream.getvalue()


def test_a_command_that_fails_says_why_in_its_last_lines():
    script = "import sys; print('one'); sys.exit('no luck')"
    with pytest.raises(DemoFailure, match=r"ended with 1: .*no luck"):
        tools.start(sys.executable, "-c", script, name="bad").wait(Report(stream=io.StringIO()))
