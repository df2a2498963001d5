from dataclasses import replace

import pytest

from catfish_operator import reasons
from demo.load import Result
from tests.faults import campaign
from tests.faults.kinds import BACK_SECONDS, BY_NAME, KINDS
from tests.faults.outcome import Outcome
from tests.faults.sight import Sight

SEEN = Sight(
    v1="aaa",
    replicas=3,
    least_v1=3,
    least_ready=3,
    reported=5.0,
    struck=8.0,
    noticed=6.0,
    back=7.0,
    reason="ChecksumMismatch",
)


def load(**failures):
    return Result(
        right=100,
        failures={name.replace("_", " "): count for name, count in failures.items()},
        revisions={},
        connections={},
        seconds=1.0,
        slowest=0.1,
    )


def outcome(kind="wrong checksum", result=None, leaked=False, **seen):
    sight = replace(SEEN, **{"reason": min(BY_NAME[kind].reasons)} | seen)
    return Outcome(system="catfish", kind=BY_NAME[kind], sight=sight, load=result or load(), leaked=leaked)


def test_there_are_twenty_kinds_each_with_a_name_of_its_own():
    assert len(KINDS) == len(BY_NAME) == 20


def test_every_reason_that_is_expected_is_one_that_the_operator_knows():
    assert {reason for kind in KINDS for reason in kind.reasons} <= reasons.STALLED.keys()


@pytest.mark.parametrize("kind", [kind.name for kind in KINDS])
def test_nothing_is_to_complain_of_where_all_went_well(kind):
    assert outcome(kind, struck=5.0).complaints() == []


def test_seconds_count_from_what_the_patience_says():
    assert outcome("wrong checksum").back_after == 2.0
    assert outcome("crash at start", back=20.0).back_after == 12.0
    assert outcome("never ready", back=66.0).back_after == 66.0
    assert outcome("never ready", progressed=9.0, back=66.0).back_after == 57.0
    assert outcome(back=None).back_after is None


@pytest.mark.parametrize(
    ("broken", "sentence"),
    [
        ({"reason": "CrashLooping"}, "the reason shown is CrashLooping, not ChecksumMismatch"),
        ({"result": load(**{"'fish' instead of 'cat'": 3})}, "3 wrong answers"),
        ({"result": load(status_500=1)}, "1 failed requests, and no bad pod was ever ready"),
        ({"least_v1": 2}, "v1 went down to 2 ready pods of 3"),
        ({"back": None}, "v1 is not back"),
        ({"back": 15.5}, "v1 was back after 10.5 s, 10 s are allowed"),
        ({"tried_again": 2}, "v2 was tried again (2 looks)"),
        ({"leaked": True}, "events or status hold a secret"),
    ],
)
def test_each_broken_promise_is_one_sentence(broken, sentence):
    assert outcome(**broken).complaints() == [sentence]


def test_failed_requests_are_forgiven_where_a_bad_pod_was_ready_but_wrong_answers_never():
    assert outcome("crash after 30 s", load(status_500=9)).complaints() == []
    assert outcome("crash after 30 s", load(**{"'fish' instead of 'cat'": 1})).complaints() == [
        "1 wrong answers"
    ]


def test_no_more_requests_may_fail_than_the_bad_pod_can_have_held():
    """It was there for a second of 109 or 190 requests, as one of four pods."""
    assert outcome("crash after 30 s", load(status_500=9), begun=6.0).complaints() == []
    (one,) = outcome("crash after 30 s", load(status_500=90), begun=6.0).complaints()
    assert one == "90 failed requests, and the bad pods held some 71"


def test_what_answers_with_errors_counts_from_its_first_request():
    assert outcome("ready then 5xx", served=2.0, back=20.0).back_after == 18.0
    assert outcome("ready then 5xx", served=2.0, reported=33.0, back=34.0).complaints() != []


def test_v1_may_go_down_only_where_the_fault_shows_after_the_release():
    assert outcome("crash after 30 s", least_v1=0).complaints() == []
    assert outcome("crash after 30 s", least_v1=0, replicas=1).complaints() != []
    assert outcome("crash after 30 s", least_v1=0, least_ready=0).complaints() == ["no pod was ready"]
    assert outcome("ready then 5xx", least_v1=2).complaints() != []


def test_what_the_world_is_to_blame_for_may_be_tried_again():
    assert outcome("weights 500", tried_again=1).complaints() == []


def test_lanes_hold_every_kind_once_and_spread_the_slow_ones():
    made = campaign.lanes(KINDS, system="catfish", replicas=3, least=3)
    assert len(made) == 4
    assert sorted(kind.name for lane in made for kind in lane.kinds) == sorted(BY_NAME)
    beside = [lane for lane in made if not lane.alone]
    slow = [sum(BACK_SECONDS[kind.patience] > 60 for kind in lane.kinds) for lane in beside]
    assert max(slow) - min(slow) <= 1
    assert len({lane.namespace for lane in made}) == 4


def test_what_needs_the_machine_to_itself_has_it_and_only_where_pods_were_replaced():
    crash = BY_NAME["crash after 30 s"]
    one, three = ([lane for lane in made(replicas) if crash in lane.kinds] for replicas in (1, 3))
    assert [(lane.kinds, lane.alone) for lane in three] == [((crash,), True)]
    assert [lane.alone for lane in one] == [False]
    assert sum(lane.alone for lane in made(3)) == 1


def made(replicas):
    return campaign.lanes(KINDS, system="catfish", replicas=replicas)
