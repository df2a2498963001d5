import io

import pytest

from demo.report import DemoFailure, Report


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_a_step_in_a_log_is_one_plain_line():
    stream = io.StringIO()
    with Report(stream=stream).step("cluster") as step:
        step.outcome = "1 node"
    assert stream.getvalue().count("\n") == 1
    assert stream.getvalue().startswith("✔ cluster")
    assert stream.getvalue().endswith("s  1 node\n")
    assert "\x1b" not in stream.getvalue()


def test_a_step_on_a_terminal_is_shown_before_it_ends():
    stream = Terminal()
    with Report(stream=stream).step("cluster"):
        assert "… cluster" in stream.getvalue()
    assert "\r\x1b[K" in stream.getvalue()


def test_a_failed_step_is_crossed_and_the_failure_travels_on():
    stream = io.StringIO()
    with pytest.raises(DemoFailure), Report(stream=stream).step("cluster"):
        raise DemoFailure("no")
    assert stream.getvalue().startswith("✘ cluster")


def test_a_failure_ends_with_the_command_to_look_further():
    stream = io.StringIO()
    Report(stream=stream).failure(DemoFailure("It did not come up.", look="less log"))
    assert stream.getvalue() == "\nIt did not come up.\nTo look further: less log\n"
