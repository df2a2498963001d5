"""Events: what is sent, what is counted, what is dropped, and that nobody waits."""

import asyncio
import logging

import pytest

from catfish_operator import errors
from catfish_operator.announce import Announcement
from catfish_operator.controller import events as posting
from catfish_operator.controller.events import PATCH_EVERY, WAITING, WINDOW, Events
from tests.operator.test_lease import Clock
from tests.operator.world import body

CAT = body()
CAT["metadata"]["resourceVersion"] = "7"
FULL = Announcement(type="Warning", reason="OutOfMemory", action="RollOut", message="It needs more memory.")


class Sink:
    def __init__(self):
        self.created, self.counted, self.trouble = [], [], []

    async def create_event(self, body):
        if self.trouble:
            raise self.trouble.pop(0)
        self.created.append(body)

    async def count_event(self, namespace, name, *, series):
        if self.trouble:
            raise self.trouble.pop(0)
        self.counted.append((namespace, name, series["count"]))


@pytest.fixture
def sink():
    return Sink()


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def results():
    return []


@pytest.fixture
def events(sink, clock, results, monkeypatch):
    monkeypatch.setattr(posting, "FIRST_RETRY", 0.0)
    return Events(sink=sink, instance="catfish-operator-x", clock=clock, ended=results.append)


def post(events, *announcements):
    async def all_of_them():
        for announcement in announcements:
            await events.post(CAT, announcement)

    asyncio.run(all_of_them())


def test_an_event_says_who_what_and_about_whom(events, sink):
    post(events, FULL)
    (event,) = sink.created
    name, time = event["metadata"].pop("name"), event.pop("eventTime")
    assert name.startswith("cat.")
    assert time.endswith("Z")
    assert len(time) == len("2026-01-02T03:04:05.000006Z")
    assert event == {
        "apiVersion": "events.k8s.io/v1",
        "kind": "Event",
        "metadata": {"namespace": "default"},
        "reportingController": "catfish.dev/operator",
        "reportingInstance": "catfish-operator-x",
        "type": "Warning",
        "reason": "OutOfMemory",
        "action": "RollOut",
        "note": "It needs more memory.",
        "regarding": {
            "apiVersion": "catfish.dev/v1alpha1",
            "kind": "CatfishModel",
            "namespace": "default",
            "name": "cat",
            "uid": "uid-model",
            "resourceVersion": "7",
        },
    }


def test_repetitions_become_one_event_with_a_series_and_few_writes(events, sink, clock):
    for _ in range(200):
        post(events, FULL)
        clock.now += 1
    assert len(sink.created) == 1
    assert 2 <= len(sink.counted) <= 1 + 200 / PATCH_EVERY
    counts = [count for _, _, count in sink.counted]
    assert counts == sorted(counts)
    assert counts[0] == 2


def test_after_the_window_it_is_a_new_event(events, sink, clock):
    post(events, FULL)
    clock.now += WINDOW + 1
    post(events, FULL)
    assert len(sink.created) == 2
    assert sink.counted == []


def test_another_reason_is_another_event(events, sink):
    other = Announcement(type="Warning", reason="CrashLooping", action="RollOut", message="It ends.")
    post(events, FULL, other)
    assert [event["reason"] for event in sink.created] == ["OutOfMemory", "CrashLooping"]


def test_an_event_that_is_gone_is_made_anew_the_next_time(events, sink):
    post(events, FULL)
    sink.trouble = [errors.Stale("404")]
    post(events, FULL, FULL)
    assert len(sink.created) == 2


def test_a_short_trouble_is_outlived(events, sink, results):
    sink.trouble = [errors.Unreachable("503")]
    post(events, FULL)
    assert len(sink.created) == 1
    assert results == ["posted"]


@pytest.mark.parametrize(
    "trouble",
    [
        [errors.Unreachable("503")] * 3,
        [errors.NotAllowed("403")],
        [errors.NotLeader("another leads")],
        [errors.Refused(reason="AdmissionDenied", message="no")],
    ],
    ids=lambda trouble: type(trouble[0]).__name__,
)
def test_what_cannot_be_posted_is_dropped_and_spoken_of_once(events, sink, results, caplog, trouble):
    caplog.set_level(logging.INFO)
    sink.trouble = trouble * 2
    post(events, FULL, FULL)
    assert results == ["failed", "failed"]
    assert len(caplog.records) == 1
    post(events, FULL)
    assert len(sink.created) == 1


def test_a_full_queue_drops_and_blocks_nobody(events, results):
    for _ in range(WAITING + 5):
        events.put(CAT, FULL)
    assert results == ["dropped"] * 5


def test_what_was_put_is_posted(events, sink):
    async def scenario():
        task = asyncio.create_task(events.run())
        events.put(CAT, FULL)
        async with asyncio.timeout(5):
            while not sink.created:  # noqa: ASYNC110 - the thing waited for knows no event
                await asyncio.sleep(0)
        task.cancel()

    asyncio.run(scenario())
