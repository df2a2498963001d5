"""Each attempt is disturbed by itself, and what did not come as it should is told of that one alone."""

from types import SimpleNamespace

import pytest

from benchmarks import rollout_disturbances
from benchmarks.rollout_disturbances import Disturbances
from tests.faults.kinds import BY_NAME


class Kill:
    """Stands for an operator that is killed, or not."""

    def __init__(self, _kube):
        self.closed, self.said = 0, []

    def complaints(self):
        return self.said

    def close(self):
        self.closed += 1


@pytest.fixture
def campaign(monkeypatch):
    monkeypatch.setattr(rollout_disturbances, "OperatorKilledWhileItDecides", Kill)
    return SimpleNamespace(parallel=3, disturb=None)


def test_an_operator_is_killed_once_for_each_attempt_and_they_come_one_by_one(campaign):
    disturbances = Disturbances(None, kill_operator=True, apiserver_away=0)
    disturbances.disturb(campaign, lanes=2)
    assert (campaign.parallel, disturbances.together) == (1, False)
    outcomes = object(), object()
    for outcome, said in zip(outcomes, ([], ["the operator was not killed"]), strict=True):
        kill = campaign.disturb()
        kill.said = said
        disturbances.over(outcome)
        assert kill.closed == 1, "it must not be left stopped while the next attempt begins"
    assert [disturbances.complaints(outcome) for outcome in outcomes] == [[], ["the operator was not killed"]]


def test_an_attempt_that_breaks_off_leaves_no_operator_stopped(campaign):
    disturbances = Disturbances(None, kill_operator=True, apiserver_away=0)
    disturbances.disturb(campaign, lanes=1)
    kill = campaign.disturb()
    disturbances.close()
    assert kill.closed == 1


def test_without_a_wish_nothing_is_disturbed(campaign):
    disturbances = Disturbances(None, kill_operator=False, apiserver_away=0)
    disturbances.disturb(campaign, lanes=1)
    disturbances.over(outcome := object())
    assert (campaign.parallel, campaign.disturb, disturbances.complaints(outcome)) == (3, None, [])


def test_the_api_server_goes_for_all_lanes_together(campaign):
    disturbances = Disturbances(None, kill_operator=False, apiserver_away=60)
    disturbances.disturb(campaign, lanes=2)
    assert disturbances.together
    assert callable(campaign.disturb())
    disturbances.close()


@pytest.mark.parametrize(
    ("kill_operator", "away", "at_once", "deadline"),
    [(False, 0, 0, 0), (True, 0, 20, 50), (False, 60, 103, 103)],
)
def test_what_is_forgiven_is_how_long_nobody_could_act(monkeypatch, kill_operator, away, at_once, deadline):
    monkeypatch.setattr(rollout_disturbances.ApiServerAway, "unreachable", 83.0)
    disturbances = Disturbances(None, kill_operator=kill_operator, apiserver_away=away)
    kinds = BY_NAME["weights 404"], BY_NAME["quota"]
    assert [disturbances.grace(kind) for kind in kinds] == [at_once, deadline]
    assert ("83 s after it went" in disturbances.told) == bool(away)
