"""kopf as an event source: how it is set, and the traps of it that the engine relies on being round."""

import asyncio
import inspect
import itertools
import threading

import kopf
from kopf._core.reactor import running

from catfish_operator import errors, handlers
from catfish_operator.cluster import CHILDREN, KINDS, MODEL_LABEL
from tests.operator.fakes import FakeCluster

NEEDED = tuple(kind for kind in KINDS if not kind.optional)
(OPTIONAL,) = (kind for kind in KINDS if kind.optional)


def test_kopf_tries_for_ever_and_never_waits_longer_than_15_seconds():
    delays = list(itertools.islice(handlers.EndlessBackoff(), 1000))
    assert len(delays) == 1000
    assert 0 < min(delays) <= max(delays) <= 15


def test_kopf_takes_an_endless_back_off():
    backoff = handlers.settings().networking.error_backoffs
    assert not hasattr(backoff, "__len__")  # it takes the length of what has one for the number of tries
    assert next(iter(backoff)) > 0


def test_kopf_is_set_to_watch_only():
    chosen = handlers.settings()
    assert not chosen.posting.enabled
    assert chosen.scanning.disabled
    assert chosen.peering.standalone
    assert chosen.queueing.worker_limit is None
    assert chosen.process.ultimate_exiting_timeout is None
    watching = chosen.watching
    assert (watching.server_timeout, watching.client_timeout, watching.inactivity_timeout) == (300, 310, 70)
    assert (chosen.networking.request_timeout, chosen.networking.connect_timeout) == (30, 5)


def test_children_are_watched_by_our_label_alone():
    selectors = handlers.settings().watching.label_selectors
    assert {selector.any_name for selector in selectors} == {kind.plural for kind in CHILDREN}
    assert set(selectors.values()) == {MODEL_LABEL}


def test_the_only_handlers_are_event_handlers_so_kopf_has_nothing_to_write():
    registry = handlers.registry(KINDS, lambda *_: None)
    assert len(registry._watching.get_all_handlers()) == len(KINDS)
    for others in (registry._changing, registry._spawning, registry._indexing, registry._webhooks):
        assert list(others.get_all_handlers()) == []


def test_trap_kopf_kills_the_process_minutes_after_its_end_unless_told_not_to():
    source = inspect.getsource(running.ultimate_termination)
    assert "ultimate_exiting_timeout is not None" in source
    assert "SIGKILL" in source


def test_trap_kopf_cancels_every_task_made_after_its_start():
    assert "all_tasks(ignored=ignored)" in inspect.getsource(running.run_tasks)


def test_an_event_is_handed_on_with_its_kind():
    seen = []
    registry = handlers.registry(KINDS, lambda *event: seen.append(event))
    (handler, *_) = registry._watching.get_all_handlers()
    asyncio.run(handler.fn(event={"type": "ADDED", "object": {"x": 1}}, body=None))
    assert seen == [(KINDS[0], "ADDED", {"x": 1})]


def test_watching_begins_again_after_kopf_has_ended_and_its_end_reaches_nobody(monkeypatch):
    lives = []

    async def short_life(**kwargs):
        lives.append(kwargs)
        raise kopf.PermanentError("the stream broke")

    monkeypatch.setattr(kopf, "operator", short_life)
    monkeypatch.setattr(handlers, "RESTART_SECONDS", (0.001, 0.002))

    async def scenario():
        source = handlers.EventSource(
            kinds=NEEDED,
            cluster=FakeCluster(),
            observe=lambda *_: None,
            namespace="team-a",
            started=lambda: None,
        )
        task = asyncio.create_task(source.run())
        async with asyncio.timeout(10):
            while len(lives) < 3:  # noqa: ASYNC110 - the thing waited for knows no event
                await asyncio.sleep(0.001)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    asyncio.run(scenario())
    assert all(life["namespaces"] == ["team-a"] and not life["clusterwide"] for life in lives)


def test_watching_waits_for_the_crd_also_while_nobody_answers(monkeypatch):
    monkeypatch.setattr(handlers, "SERVED_EVERY", 0.001)
    cluster, started = FakeCluster(), []

    async def served_later(_):
        cluster.calls.append("asked")
        if len(cluster.calls) < 4:
            raise errors.Unreachable("no")
        return len(cluster.calls) > 6

    async def endless(*, stop_flag, **_):
        await stop_flag.wait()

    monkeypatch.setattr(kopf, "operator", endless)
    cluster.served = served_later

    async def scenario():
        source = handlers.EventSource(
            kinds=NEEDED,
            cluster=cluster,
            observe=lambda *_: None,
            namespace="",
            started=lambda: started.append(len(cluster.calls)),
        )
        task = asyncio.create_task(source.run())
        async with asyncio.timeout(10):
            while not started:  # noqa: ASYNC110 - the thing waited for knows no event
                await asyncio.sleep(0.001)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    asyncio.run(scenario())
    assert started == [7]


def test_a_source_that_is_stopped_stops_kopf(monkeypatch):
    began, ended = threading.Event(), []

    async def obedient(*, stop_flag, **_):
        began.set()
        await stop_flag.wait()
        ended.append(True)

    monkeypatch.setattr(kopf, "operator", obedient)

    async def scenario():
        source = handlers.EventSource(
            kinds=NEEDED, cluster=FakeCluster(), observe=lambda *_: None, namespace="", started=lambda: None
        )
        task = asyncio.create_task(source.run())
        assert await asyncio.to_thread(began.wait, 10)
        task.cancel()
        async with asyncio.timeout(10):
            await asyncio.gather(task, return_exceptions=True)

    asyncio.run(scenario())
    assert ended == [True]


def test_an_optional_kind_is_watched_from_when_a_listing_finds_it_until_one_finds_it_gone(monkeypatch):
    lives = asyncio.Queue()

    async def obedient(*, registry, stop_flag, **_):
        watched = {handler.selector.any_name for handler in registry._watching.get_all_handlers()}
        loop.call_soon_threadsafe(lives.put_nowait, ("begins", watched))
        await stop_flag.wait()
        loop.call_soon_threadsafe(lives.put_nowait, ("ends", watched))

    monkeypatch.setattr(kopf, "operator", obedient)
    monkeypatch.setattr(handlers, "RESTART_SECONDS", (0.001, 0.002))

    async def scenario():
        nonlocal loop
        loop, cluster = asyncio.get_running_loop(), FakeCluster()
        source = handlers.EventSource(
            kinds=(OPTIONAL,), cluster=cluster, observe=lambda *_: None, namespace="", started=lambda: None
        )
        task = asyncio.create_task(source.run())
        for _ in range(5):
            await asyncio.sleep(0)
        assert cluster.calls == []  # nobody is asked for ever about what is not there
        async with asyncio.timeout(10):
            for served, then in ((True, "begins"), (False, "ends"), (True, "begins")):
                source.found(served=served)
                source.found(served=served)  # as each listing says again
                assert await lives.get() == (then, {OPTIONAL.plural})
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        return lives.qsize()

    loop = None
    assert asyncio.run(scenario()) == 1  # the end that it was stopped with


def test_trap_kopf_wants_a_user_with_a_name_unless_it_is_told_who_it_is(monkeypatch):
    """A container may run under a number that no passwd file knows; kopf then ends before it watches."""
    told = []

    async def short_life(**kwargs):
        told.append(kwargs["identity"])

    monkeypatch.setattr(kopf, "operator", short_life)
    thread = handlers._KopfThread(registry=kopf.OperatorRegistry(), namespace="", ended=told.append)
    thread.start()
    thread.join(20)
    assert told == [handlers.IDENTITY, "no error"]
    assert "identity if identity is not None else" in inspect.getsource(running.spawn_tasks)
