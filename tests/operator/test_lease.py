"""Which replica writes: two of them, one Lease in memory, a clock that the test moves."""

import asyncio
import copy
import logging

import pytest

from catfish_operator import errors
from catfish_operator.controller.lease import Leadership

DURATION = 15.0
WRITING = 10.0


class Clock:
    now = 1000.0

    def __call__(self):
        return self.now


class Store:
    """The Lease, with the API server's versions; `trouble` holds errors for the next calls."""

    def __init__(self):
        self.lease, self.writes, self.trouble, self._version = None, [], [], 0

    async def read(self, *, within):
        assert 0 < within <= DURATION / 3
        if self.trouble:
            raise self.trouble.pop(0)
        return copy.deepcopy(self.lease)

    async def write(self, spec, *, version, within):
        assert 0 < within <= DURATION / 3
        if self.trouble:
            raise self.trouble.pop(0)
        live = self.lease and self.lease["metadata"]["resourceVersion"]
        self.writes.append((spec["holderIdentity"], "conflict" if live != version else "written"))
        if live != version:
            raise errors.Stale("409")
        self._version += 1
        self.lease = {"spec": copy.deepcopy(spec), "metadata": {"resourceVersion": str(self._version)}}
        return copy.deepcopy(self.lease)


class Replica:
    """One replica, moved step by step."""

    def __init__(self, name, store, clock):
        self.known = self.began = 0
        self.clock, self.due = clock, clock.now
        self.leadership = Leadership(
            store=store,
            identity=name,
            duration=DURATION,
            clock=clock,
            known=self._seen,
            began=self._begun,
        )

    def _seen(self):
        self.known += 1

    def _begun(self):
        self.began += 1

    def step(self):
        seconds = asyncio.run(self.leadership.once())
        self.due = self.clock.now + seconds
        return self.may_write()

    def may_write(self):
        return self.leadership.may_write()


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def store():
    return Store()


@pytest.fixture
def a(store, clock):
    return Replica("a", store, clock)


@pytest.fixture
def b(store, clock):
    return Replica("b", store, clock)


def live(clock, seconds, *replicas):
    """Lets the replicas live so long, each at its own pace."""
    until = clock.now + seconds
    while (due := min(replica.due for replica in replicas)) <= until:
        clock.now = max(clock.now, due)
        for replica in replicas:
            if replica.due <= clock.now:
                replica.step()
    clock.now = until


def test_nobody_may_write_before_the_first_look(a):
    assert not a.may_write()


def test_the_first_makes_the_lease_and_the_second_stands_by(a, b, store):
    assert a.step()
    assert not b.step()
    assert (a.known, b.known) == (1, 1)
    assert store.lease["spec"]["holderIdentity"] == "a"
    assert store.lease["spec"]["leaseDurationSeconds"] == 15


def test_a_healthy_leader_keeps_the_lease_without_a_gap(a, b, clock, store):
    a.step()
    for _ in range(100):
        live(clock, 1, a, b)
        assert (a.may_write(), b.may_write()) == (True, False)
    assert (a.began, b.began) == (1, 0)
    assert {who for who, _ in store.writes} == {"a"}


@pytest.mark.parametrize("phase", [0.0, 0.5, 1.0, 1.5, 1.9])
def test_a_silent_leader_is_followed_within_18_seconds_and_never_doubled(a, b, clock, phase):
    a.step()
    live(clock, 20 + phase, a, b)
    silent_since = clock.now
    while not b.may_write():
        live(clock, 0.1, b)
        assert not (a.may_write() and b.may_write())
        assert clock.now - silent_since < 60
    assert 13 <= clock.now - silent_since <= 18


def test_a_leader_that_was_stopped_may_not_write_when_it_goes_on(a, b, clock, store):
    a.step()
    live(clock, 5, a, b)
    live(clock, 60, b)
    assert not a.may_write()
    assert b.may_write()
    live(clock, 20, a, b)
    assert (a.may_write(), b.may_write()) == (False, True)
    assert all(how == "written" for _, how in store.writes)  # it looked before it wrote


def test_a_standby_that_was_stopped_does_not_take_a_lease_that_was_renewed_meanwhile(a, b, clock):
    a.step()
    live(clock, 5, a, b)
    live(clock, 60, a)
    assert not b.step()
    live(clock, 20, a, b)
    assert (a.may_write(), b.may_write()) == (True, False)


def test_a_leader_without_an_api_server_stops_writing_before_another_could_begin(a, clock, store):
    a.step()
    store.trouble = [errors.Unreachable("no answer") for _ in range(50)]
    live(clock, WRITING - 0.1, a)
    assert a.may_write()
    live(clock, 0.2, a)
    assert not a.may_write()
    assert a.began == 1
    store.trouble = []
    live(clock, 3, a)
    assert a.may_write()
    assert a.began == 2


def test_time_counts_from_the_beginning_of_a_renewal(a, clock, store):
    a.step()
    plain = store.write

    async def slow(spec, **kwargs):
        clock.now += 4
        return await plain(spec, **kwargs)

    store.write = slow
    a.step()
    assert a.leadership.seconds_left() == WRITING - 4


def test_a_released_lease_is_taken_at_the_next_look(a, b, clock, store):
    a.step()
    live(clock, 5, a, b)
    asyncio.run(a.leadership.release())
    assert not a.may_write()
    assert store.lease["spec"]["holderIdentity"] == ""
    live(clock, 2, b)
    assert b.may_write()


def test_a_standby_releases_nothing(a, b, store):
    a.step()
    b.step()
    asyncio.run(b.leadership.release())
    assert store.lease["spec"]["holderIdentity"] == "a"


def test_a_restarted_container_of_the_same_pod_goes_on_at_once(a, store, clock):
    a.step()
    assert Replica("a", store, clock).step()


def test_a_race_for_a_free_lease_has_one_winner(a, b, store):
    a.step()
    store.lease["spec"]["holderIdentity"] = ""
    plain, rival = store.read, []

    async def read_then_lose(**kwargs):
        seen = await plain(**kwargs)
        if not rival:
            rival.append(await store.write({**seen["spec"], "holderIdentity": "c"}, version="1", within=1))
        return seen

    store.read = read_then_lose
    assert not b.step()
    assert not b.step()
    assert store.lease["spec"]["holderIdentity"] == "c"


def test_a_lease_that_a_person_gave_to_somebody_else_ends_the_writing(a, clock, store):
    a.step()
    store.lease = {**store.lease, "metadata": {"resourceVersion": "77"}}
    store.lease["spec"] = {**store.lease["spec"], "holderIdentity": "z"}
    live(clock, 5, a)
    assert not a.may_write()


def test_who_waits_to_lead_is_woken(a):
    async def scenario():
        waiter = asyncio.create_task(a.leadership.leading())
        await asyncio.sleep(0)
        waited = not waiter.done()
        await a.leadership.once()
        async with asyncio.timeout(5):
            await waiter
        return waited

    assert asyncio.run(scenario())


def test_trouble_is_spoken_of_once(a, store, caplog):
    caplog.set_level(logging.INFO)
    store.trouble = [errors.NotAllowed("403") for _ in range(5)]
    for _ in range(5):
        a.step()
    assert [record.getMessage() for record in caplog.records] == ["cannot use the Lease: 403"]
