"""Workers and resync: one model's trouble is its own, and what watches lose is found again."""

import asyncio
import logging

import pytest

from catfish_operator import errors
from catfish_operator.cluster import KINDS, MODEL
from catfish_operator.controller.cache import Cache
from catfish_operator.controller.health import Health
from catfish_operator.controller.metrics import Metrics
from catfish_operator.controller.queue import Key, Queue
from catfish_operator.controller.resync import Resync
from catfish_operator.controller.worker import Worker
from tests.operator.fakes import FakeCluster

A, B = Key("default", "a"), Key("default", "b")


async def at_once():
    """This process may write."""


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


def a_worker(queue, reconcile, *, known=lambda _: True, health=None):
    return Worker(
        queue=queue,
        reconcile=reconcile,
        known=known,
        health=health or Health(clock=Clock()),
        metrics=Metrics(),
    )


def work(queue, outcome, **kwargs):
    """Has one key worked on; `outcome` is raised or returned by the reconcile."""

    async def reconcile(_):
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    asyncio.run(a_worker(queue, reconcile, **kwargs).work_on(queue.take()))


@pytest.mark.parametrize(
    "error",
    [
        errors.Refused(reason="QuotaExceeded", message="no"),
        errors.Unreachable("no"),
        errors.NotAllowed("no"),
        errors.Unsettled("no"),
        errors.Stale("no"),
        ZeroDivisionError("a bug"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_whatever_goes_wrong_the_key_comes_back_later(clock, error):
    queue = Queue(clock=clock)
    queue.add(A)
    work(queue, error)
    assert queue.take() is None
    clock.now += 1
    assert queue.take() == A


def test_a_failure_is_spoken_of_once(clock, caplog):
    caplog.set_level(logging.INFO)
    queue = Queue(clock=clock)
    for _ in range(5):
        queue.add(A)
        clock.now += 100
        work(queue, errors.Unreachable("no answer"))
    assert [record.getMessage().split(";")[0] for record in caplog.records] == ["default/a: no answer"]


def test_a_bug_is_one_line_without_a_traceback(clock, caplog):
    caplog.set_level(logging.INFO)
    queue = Queue(clock=clock)
    queue.add(A)
    work(queue, KeyError("x"))
    (record,) = caplog.records
    assert (record.levelname, record.exc_info) == ("ERROR", None)


def test_the_plans_time_is_kept(clock):
    queue = Queue(clock=clock)
    queue.add(A)
    work(queue, 30.0)
    clock.now += 29
    assert queue.take() is None
    clock.now += 2
    assert queue.take() == A


def test_workers_begin_only_when_the_cache_is_filled():
    async def scenario():
        seen, begin = [], asyncio.Event()
        queue = Queue(clock=asyncio.get_running_loop().time)

        async def reconcile(key):
            seen.append(key)

        task = asyncio.create_task(a_worker(queue, reconcile).run(begin=begin, leading=at_once))
        queue.add(A)
        for _ in range(5):
            await asyncio.sleep(0)
        before = list(seen)
        begin.set()
        async with asyncio.timeout(5):
            while not seen:  # noqa: ASYNC110 - the thing waited for knows no event
                await asyncio.sleep(0)
        task.cancel()
        return before, seen

    assert asyncio.run(scenario()) == ([], [A])


def test_a_standbys_workers_wait_and_its_queue_fills():
    async def scenario():
        seen, begin, leads = [], asyncio.Event(), asyncio.Event()
        queue = Queue(clock=asyncio.get_running_loop().time)
        begin.set()

        async def reconcile(key):
            seen.append(key)

        async def leading():
            await leads.wait()

        task = asyncio.create_task(a_worker(queue, reconcile).run(begin=begin, leading=leading))
        for _ in range(5):
            await asyncio.sleep(0)
        queue.add(A)
        for _ in range(5):
            await asyncio.sleep(0)
        before = list(seen)
        leads.set()
        async with asyncio.timeout(5):
            while not seen:  # noqa: ASYNC110 - the thing waited for knows no event
                await asyncio.sleep(0)
        task.cancel()
        return before, seen

    assert asyncio.run(scenario()) == ([], [A])


def test_a_model_that_a_former_leader_could_not_write_is_kept_without_a_back_off(clock, caplog):
    caplog.set_level(logging.INFO)
    queue = Queue(clock=clock)
    queue.add(A)
    work(queue, errors.NotLeader("somebody else leads"))
    assert queue.take() == A
    assert queue.failures(A) == 0
    assert caplog.records == []


def a_resync(cluster, cache, queue, health, **kwargs):
    return Resync(
        cluster=cluster,
        cache=cache,
        queue=queue,
        health=health,
        namespace="",
        every=60,
        **{"found": lambda *_: None, "ended": lambda _: None} | kwargs,
    )


def test_a_resync_fills_the_cache_and_queues_every_model(clock):
    cluster, cache, queue, health = FakeCluster(), Cache(), Queue(clock=clock), Health(clock=clock)
    body = {
        "apiVersion": MODEL.api_version,
        "kind": MODEL.kind,
        "metadata": {"namespace": "default", "name": "a"},
    }
    cluster.put(body)

    async def scenario():
        resync = a_resync(cluster, cache, queue, health)
        return await resync.once(), resync.filled.is_set()

    seconds, filled = asyncio.run(scenario())
    assert 48 <= seconds <= 60
    assert filled
    assert health.not_ready() is None
    assert queue.take() == A
    assert len(cluster.calls) == len(KINDS)


def test_a_failed_resync_keeps_the_cache_and_is_tried_again_soon(clock):
    cluster, cache, queue, health = FakeCluster(), Cache(), Queue(clock=clock), Health(clock=clock)
    cluster.trouble["list_all", "Pod"] = [errors.Unreachable("no") for _ in range(8)]

    async def scenario():
        resync = a_resync(cluster, cache, queue, health)
        return [await resync.once() for _ in range(8)], resync.filled.is_set()

    delays, filled = asyncio.run(scenario())
    assert not filled
    assert health.not_ready() is not None
    assert health.not_alive() is None
    assert delays[0] <= 1
    assert max(delays) <= 15


def test_a_failed_resync_is_tried_again_as_soon_as_the_api_server_has_answered_somebody(clock):
    cluster, queue, health, ended = FakeCluster(), Queue(clock=clock), Health(clock=clock), []
    cluster.trouble["list_all", "Pod"] = [errors.Unreachable("no")]
    resync = a_resync(cluster, Cache(), queue, health, ended=ended.append)

    async def scenario():
        async with asyncio.timeout(0.5):  # the next try by itself comes after 0.75 s at the earliest
            async with asyncio.TaskGroup() as group:
                running = group.create_task(resync.run())
                while ended != ["failed", "completed"]:
                    resync.reachable()
                    await asyncio.sleep(0.01)
                for _ in range(10):
                    resync.reachable()  # while listings work it makes no further ones
                    await asyncio.sleep(0.01)
                running.cancel()

    asyncio.run(scenario())
    assert ended == ["failed", "completed"]


def test_without_the_crd_there_are_no_models_and_one_warning(clock, caplog):
    caplog.set_level(logging.INFO)
    cluster, cache, queue, health = FakeCluster(), Cache(), Queue(clock=clock), Health(clock=clock)
    cluster.trouble["list_all", "CatfishModel"] = [errors.NotServed("404") for _ in range(3)]

    async def scenario():
        resync = a_resync(cluster, cache, queue, health)
        for _ in range(3):
            await resync.once()

    asyncio.run(scenario())
    assert [record.levelname for record in caplog.records].count("WARNING") == 1
    assert health.not_ready() is None


def test_a_kind_that_the_cluster_may_lack_is_no_trouble_and_any_other_is(clock):
    cluster, cache, queue, health = FakeCluster(), Cache(), Queue(clock=clock), Health(clock=clock)
    cluster.trouble["list_all", "ServiceMonitor"] = [errors.NotServed("404")]
    cluster.trouble["list_all", "Deployment"] = [errors.NotServed("404")]
    asyncio.run(a_resync(cluster, cache, queue, health).once())
    assert not health.filled
    cluster.trouble["list_all", "ServiceMonitor"] = [errors.NotServed("404")]
    asyncio.run(a_resync(cluster, cache, queue, health).once())
    assert health.filled


def test_of_a_kind_that_the_cluster_may_lack_each_resync_tells_whether_it_is_there(clock):
    cluster, queue, health, told = FakeCluster(), Queue(clock=clock), Health(clock=clock), []
    resync = a_resync(cluster, Cache(), queue, health, found=lambda *found: told.append(found))
    for trouble in ([], [errors.NotServed("404")], []):
        cluster.trouble["list_all", "ServiceMonitor"] = trouble
        asyncio.run(resync.once())
    assert [(kind.kind, served) for kind, served in told] == [
        ("ServiceMonitor", True),
        ("ServiceMonitor", False),
        ("ServiceMonitor", True),
    ]
