"""What disturbs the bad updates does so in the right order, and leaves the cluster whole when something goes wrong."""

import threading
from types import SimpleNamespace

import pytest

from tests.faults import disruptions
from tests.faults.attempt import Moment
from tests.faults.sight import Sight

POD = {"metadata": {"name": "operator", "uid": "1"}, "status": {}}


def moment(at=0.0, **seen):
    return Moment(at=at, sight=Sight(v1="aaa", replicas=1, **seen))


class Cluster:
    """Writes down what is asked of it: the local cluster's control plane, and its kubectl."""

    def __init__(self):
        self.done = []
        self.plane = self
        self.nodes = ()
        self.unreached = 0

    def stop_apiserver(self):
        self.done.append("stopped")

    def start_apiserver(self):
        self.done.append("started")

    def api_reachable(self):
        self.done.append("asked for")
        return self.done.count("asked for") > self.unreached

    def list(self, *_):
        return [POD]

    def run(self, *words):
        self.done.append(words[0])


@pytest.fixture
def here(monkeypatch):
    made = Cluster()
    monkeypatch.setattr(disruptions, "cluster", SimpleNamespace(current=lambda: made))

    def signal(pods, number):
        made.done.append(number)
        return len(pods)

    monkeypatch.setattr(disruptions, "_signal", signal)
    return made


def test_the_operator_is_stopped_when_the_bad_pod_comes_and_killed_when_that_has_shown_itself(here):
    kill = disruptions.OperatorKilledWhileItDecides(here)
    kill(moment())
    assert (here.done, kill.stopped) == ([], 0)
    for _ in range(2):
        kill(moment(begun=1.0))
    assert (here.done, kill.killed) == (["SIGSTOP"], frozenset())
    for _ in range(2):
        kill(moment(begun=1.0, reported=3.0))
    kill.close()
    assert here.done == ["SIGSTOP", "SIGKILL", "delete"]
    assert (kill.killed, kill.noticed, kill.complaints()) == ({"1"}, False, [])


def test_a_pod_that_answers_with_errors_has_shown_itself_when_it_was_asked_for_a_while(here):
    kill = disruptions.OperatorKilledWhileItDecides(here)
    kill(moment(1.0, begun=1.0))
    kill(moment(5.9, begun=1.0, served=3.0))
    assert here.done == ["SIGSTOP"]
    kill(moment(6.0, begun=1.0, served=3.0))
    assert here.done == ["SIGSTOP", "SIGKILL", "delete"]


@pytest.mark.parametrize("seen", [{}, {"begun": 1.0}])
def test_where_no_pod_shows_anything_the_operator_is_killed_in_the_middle_of_its_deadline(here, seen):
    kill = disruptions.OperatorKilledWhileItDecides(here)
    kill(moment(1.0, **seen))
    kill(moment(29.9, **seen))
    assert here.done == ["SIGSTOP"] * len(seen)
    kill(moment(30.0, **seen))
    assert (here.done[len(seen) :], kill.complaints()) == (["SIGKILL", "delete"], [])


def test_a_failure_that_was_noticed_before_is_told(here):
    kill = disruptions.OperatorKilledWhileItDecides(here)
    kill(moment(begun=1.0))
    kill(moment(begun=1.0, reported=3.0, noticed=3.0))
    assert kill.noticed
    assert kill.complaints() == ["the operator had decided before it was killed"]


def test_an_operator_that_was_stopped_is_not_left_so(here):
    kill = disruptions.OperatorKilledWhileItDecides(here)
    kill(moment(begun=1.0))
    kill.close()
    assert here.done == ["SIGSTOP", "SIGKILL", "delete"]
    assert kill.killed == frozenset()
    assert kill.complaints() == ["the operator was not killed"]


def test_the_api_server_goes_once_and_for_as_long_as_was_asked(here):
    looked = threading.Event()
    away = disruptions.ApiServerAway(0.1, at_the_end=looked.set)
    for early in (moment(), moment(1.9, begun=1.0)):
        away(early)
    assert here.done == []
    for _ in range(2):
        away(moment(2.0, begun=1.0))
    away.join()
    assert here.done == ["stopped", "started", "asked for"]
    assert looked.is_set()
    assert away.unreachable >= away.seconds >= 0.1


def test_it_is_away_for_pods_until_they_reach_it_again(here, monkeypatch):
    monkeypatch.setattr(disruptions, "LOOK_SECONDS", 0.1)
    here.unreached = 3
    away = disruptions.ApiServerAway(0.0)
    away(moment(2.0, begun=1.0))
    away.join()
    assert here.done == ["stopped", "started", *["asked for"] * 4]
    assert away.unreachable == away.unreachable >= 0.3


def test_that_no_pod_ever_reaches_it_again_is_raised(here, monkeypatch):
    monkeypatch.setattr(disruptions, "REACHED_SECONDS", 0.0)
    here.unreached = 9
    away = disruptions.ApiServerAway(0.0)
    away(moment(2.0, begun=1.0))
    with pytest.raises(AssertionError, match="no pod can reach"):
        away.join()


def test_nothing_is_disturbed_before_all_have_changed_their_spec():
    seen = []
    one_more = disruptions.after_all(seen.append, of=2)
    first, second = one_more(), one_more()
    first(moment(begun=1.0))
    first(moment(begun=1.0))
    assert seen == []
    second(moment())
    first(moment(begun=2.0))
    assert len(seen) == 2


def test_an_api_server_that_never_went_was_away_for_no_time(here):
    away = disruptions.ApiServerAway(0.1)
    away.join()
    assert (away.seconds, away.unreachable, here.done) == (0.0, 0.0, [])


def test_what_goes_wrong_meanwhile_brings_the_api_server_back_and_is_raised(here):
    def look():
        raise AssertionError("a request failed")

    away = disruptions.ApiServerAway(0.0, at_the_end=look)
    away(moment(2.0, begun=1.0))
    with pytest.raises(AssertionError, match="a request failed"):
        away.join()
    assert here.done == ["stopped", "started"]
