"""A Service that learns late that a pod leaves: it sends new connections after the drain's seconds are over."""

import threading
import time

import pytest

from catfish_server.web import drain

SECONDS, QUIET, LONG, SHORT = 0.5, 1.0, 60.0, 2.5


@pytest.fixture(autouse=True)
def soon_quiet(monkeypatch):
    monkeypatch.setattr(drain, "QUIET_SECONDS", QUIET)


class Stopped:
    """A server that was told to stop a moment ago."""

    def __init__(self, served, wire):
        self.served, self.wire = served, wire
        self.began = time.monotonic()
        served.server.stop()

    def ask_for(self, seconds):
        """Asks on a new connection each time, until so many seconds after it was told to stop, or it takes none."""
        answers = []
        while time.monotonic() < self.began + seconds:
            try:
                answers.append(self.wire.get(self.served.address)[0])
            except ConnectionError:
                break
            threading.Event().wait(QUIET / 5)
        return answers

    def ended(self):
        """Seconds from when it was told to stop until it had left."""
        self.served.thread.join(timeout=30)
        assert not self.served.thread.is_alive()
        return time.monotonic() - self.began


def test_new_connections_are_answered_as_long_as_they_come(running, wire):
    stopped = Stopped(running(drain_seconds=SECONDS, drain_limit_seconds=LONG), wire)
    answers = stopped.ask_for(4 * SECONDS + QUIET)
    assert set(answers) == {200}
    assert len(answers) >= 8
    assert stopped.ended() < LONG / 2


def test_who_goes_on_for_ever_is_left_at_the_limit(running, wire):
    stopped = Stopped(running(drain_seconds=SECONDS, drain_limit_seconds=SHORT), wire)
    assert set(stopped.ask_for(LONG)) == {200}
    assert SHORT <= stopped.ended() < LONG / 2


def test_without_new_connections_the_limit_costs_no_time(running, wire):
    stopped = Stopped(running(drain_seconds=SECONDS, drain_limit_seconds=LONG), wire)
    assert SECONDS <= stopped.ended() < LONG / 2


def test_without_a_limit_the_seconds_of_the_drain_are_all(running, wire):
    stopped = Stopped(running(drain_seconds=SECONDS), wire)
    assert set(stopped.ask_for(LONG)) == {200}
    assert SECONDS <= stopped.ended() < LONG / 2
