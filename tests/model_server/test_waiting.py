"""The one limit of a call."""

import time

import pytest

from catfish_server import waiting
from catfish_server.errors import Overloaded


def of(*, ago=0.0, **limits):
    return waiting.Call(arrived=time.monotonic() - ago, **{"seconds": 30.0, **limits})


def test_outside_of_a_call_every_wait_has_its_own_limit():
    assert (waiting.left(600.0), waiting.client_gone()) == (600.0, None)


@pytest.mark.parametrize(
    ("limits", "seconds"),
    [
        pytest.param({}, 2.0, id="the wait's own limit"),
        pytest.param({"ago": 29.0}, 1.0, id="what the server gives it"),
        pytest.param({"ago": 9.0, "client_seconds": 9.5}, 0.5, id="what its client gives it"),
    ],
)
def test_a_wait_has_what_is_left_of_its_call(limits, seconds):
    with waiting.within(of(**limits)):
        assert waiting.left(2.0) == pytest.approx(seconds, abs=0.4)
    assert waiting.left(2.0) == 2.0


def test_a_call_whose_time_is_over_waits_for_nothing_and_is_told_so():
    with (
        waiting.within(of(ago=31.0)),
        pytest.raises(Overloaded, match=r"not answered within 30 s\.$") as caught,
    ):
        waiting.left(2.0)
    assert (caught.value.reason, caught.value.retry_after_seconds) == ("deadline", 1)


@pytest.mark.parametrize(
    ("ago", "reason", "client_seconds", "told"),
    [
        pytest.param(0.0, "decoding", 9.0, Overloaded, id="in time"),
        pytest.param(9.5, "decoding", 9.0, waiting.NoTimeGiven, id="over"),
        pytest.param(0.0, "deadline", 9.0, waiting.NoTimeGiven, id="too short"),
        pytest.param(0.0, "deadline", 60.0, Overloaded, id="too short of the server's own"),
    ],
)
def test_what_a_client_gave_no_time_for_is_no_fault_of_the_server(ago, reason, client_seconds, told):
    with pytest.raises(told), waiting.within(of(ago=ago, client_seconds=client_seconds)):
        raise Overloaded("No room.", reason=reason)
