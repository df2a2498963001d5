"""kopf's traps: what the operator does without, and why. A version of kopf that changes one of them ends a test here.

That something does not happen is shown beside another object, to which it goes on happening.
"""

import asyncio
import time

import kopf
import pytest
from kopf._cogs.aiokits import aiotoggles
from kopf._core.engines import peering

from tests.operator.kopf_api import KIND, KopfApi, failure, living, until

pytestmark = pytest.mark.process  # kopf takes 5 s to end
DATE = "Wed, 21 Oct 2026 07:28:00 GMT"


@pytest.fixture
def api():
    return KopfApi()


@pytest.fixture
def registry():
    return kopf.OperatorRegistry()


@pytest.fixture
def seen(registry):
    """The events that a handler was given, as (type, name)."""
    events = []

    @kopf.on.event(*KIND, registry=registry)
    def handle(event, name, **_):
        events.append((event["type"], name))

    return events


def run(scenario):
    return asyncio.run(scenario())


def refuse_once(what, name, wanted):
    """Refuses the first request that is like this."""
    refused = []

    def refuse(asked, about, body):
        if (asked, about) != (what, name) or refused or not wanted(body):
            return None
        refused.append(body)
        return failure(500)

    return refuse, refused


def test_trap_a_timer_whose_patch_fails_once_is_dead_while_kopf_lives(api, registry):
    ran = []

    @kopf.timer(*KIND, interval=0.05, registry=registry)
    def tick(name, patch, **_):
        ran.append(name)
        patch.status["ticks"] = len(ran)

    api.refuse, refused = refuse_once("patch", "cat", lambda body: "status" in body)
    for name in ("cat", "dog"):
        api.put(name)

    async def scenario():
        async with living(api, registry, error_backoffs=[]) as life:
            await until(lambda: refused and ran.count("dog") > 10)
            return life.ended

    assert run(scenario) is None
    assert ran.count("cat") == 1


def test_trap_a_handler_whose_progress_cannot_be_stored_is_not_tried_again(api, registry):
    tried = []

    @kopf.on.create(*KIND, registry=registry)
    def make(name, **_):
        tried.append(name)
        raise kopf.TemporaryError("not yet", delay=0.05)

    def keeps_progress(body):
        return any("kopf" in key for key in body.get("metadata", {}).get("annotations") or {})

    api.refuse, refused = refuse_once("patch", "cat", keeps_progress)
    for name in ("cat", "dog"):
        api.put(name)

    async def scenario():
        async with living(api, registry, error_backoffs=[]):
            await until(lambda: refused and tried.count("dog") > 10)

    run(scenario)
    assert tried.count("cat") == 1
    assert any(keeps_progress(body) for name, body in api.patches if name == "dog")  # the trap of annotations


def test_trap_what_is_deleted_while_kopf_lists_anew_is_told_to_nobody_and_stays_in_an_index(
    api, registry, seen
):
    known = []

    @kopf.index(*KIND, id="models", registry=registry)
    def index(name, **_):
        return {name: True}

    @kopf.on.event(*KIND, id="look", registry=registry)
    def look(name, models, **_):
        if name == "dog":
            known.append(set(models))

    api.put("cat")

    async def scenario():
        async with living(api, registry):
            await until(lambda: (None, "cat") in seen and api.begun == 1)
            del api.items["cat"]
            api.say("ERROR", {"code": 410})
            await until(lambda: api.begun == 2)
            api.put("dog")
            await until(lambda: known)

    run(scenario)
    assert ("DELETED", "cat") not in seen
    assert known[-1] == {"cat", "dog"}


def test_trap_by_default_kopf_gives_up_after_54_seconds():
    assert sum(kopf.OperatorSettings().networking.error_backoffs) == 54


def refusing(what, code, **headers):
    """An API server that refuses all requests of a kind."""
    api = KopfApi()
    api.refuse = lambda asked, *_: failure(code, **headers) if asked == what else None
    return api


FEW = {"error_backoffs": [0.01, 0.01]}
"""Tries that are soon over; without them, as the operator sets it: endless ones."""

ENDS = {
    **{f"{code} too often": (refusing("list", code), FEW, {"status": code}) for code in (403, 500, 503)},
    **{f"{code} at once": (refusing("watch", code), {}, {"status": code}) for code in (404, 410)},
    "401 at once": (refusing("watch", 401), {}, {}),
    "a Retry-After that is a date": (refusing("list", 429, **{"Retry-After": DATE}), {}, {}),
    "an error in a watch": (KopfApi(), {}, {}),
}


async def its_end(api, networking):
    """How kopf ends."""
    registry = kopf.OperatorRegistry()
    kopf.on.event(*KIND, registry=registry)(lambda **_: None)
    async with living(api, registry, **networking) as life:
        await until(lambda: api.begun or life.ended)
        api.say("ERROR", {"code": 500, "message": "etcd"})
        await until(lambda: life.ended)
        return life.ended


@pytest.fixture(scope="module")
def ends():
    """How each of them ends. Side by side: kopf takes 5 s to end."""

    async def scenario():
        return await asyncio.gather(*(its_end(api, networking) for api, networking, _ in ENDS.values()))

    return dict(zip(ENDS, asyncio.run(scenario()), strict=True))


@pytest.mark.parametrize("what", ENDS)
def test_trap_kopf_ends_on(what, ends):
    _, _, attributes = ENDS[what]
    assert isinstance(ends[what], Exception)
    assert attributes.items() <= {"status": getattr(ends[what], "status", None)}.items()


def test_each_end_is_another_error(ends):
    assert isinstance(ends["401 at once"], kopf.LoginError)
    assert isinstance(ends["a Retry-After that is a date"], ValueError)
    assert "Error in the watch-stream" in str(ends["an error in a watch"])


def test_kopf_bears_any_number_of_429_that_name_no_date(registry):
    api = refusing("list", 429)
    kopf.on.event(*KIND, registry=registry)(lambda **_: None)

    async def scenario():
        async with living(api, registry, **FEW) as life:
            await until(lambda: len(api.asked) > 20)
            # kopf may miss that it is to end while it is refused: Python 3.11 loses a task's cancellation now and then
            # where an error comes in the same moment, and its endless stream takes that error for a reason to go on.
            api.refuse = lambda *_: None
            await until(lambda: api.begun)
            return life.ended

    assert run(scenario) is None


def test_trap_one_handler_that_blocks_holds_up_all_objects(api, registry):
    seen = {}

    @kopf.on.event(*KIND, registry=registry)
    async def handle(name, **_):
        seen[name] = [time.monotonic()]
        time.sleep(0.2)  # noqa: ASYNC251 - the trap
        seen[name].append(time.monotonic())

    for name in ("cat", "dog"):
        api.put(name)

    async def scenario():
        async with living(api, registry):
            await until(lambda: [len(times) for times in seen.values()] == [2, 2])

    run(scenario)
    first, second = sorted(seen.values())
    assert first[1] <= second[0]


def test_trap_peers_of_equal_priority_pause_each_other():
    settings = kopf.OperatorSettings()
    body = {"metadata": {"name": settings.peering.name}, "status": {"other": {"priority": 0}}}

    async def scenario():
        found, awake = aiotoggles.Toggle(), asyncio.Event()
        awake.set()  # it does not wait for the other's end
        await peering.process_peering_event(
            raw_event={"type": "MODIFIED", "object": body},
            namespace=None,
            resource=None,
            identity="ours",
            settings=settings,
            conflicts_found=found,
            stream_pressure=awake,
        )
        return found.is_on()

    assert asyncio.run(scenario())


def test_trap_what_an_event_handler_raises_is_dropped(api, registry):
    seen = []

    @kopf.on.event(*KIND, registry=registry)
    def handle(name, body, **_):
        seen.append((name, body["spec"].get("number", 0)))
        raise kopf.TemporaryError("again, please", delay=0.01)

    api.put("cat")

    async def scenario():
        async with living(api, registry) as life:
            await until(lambda: seen and api.begun)
            for number in range(1, 6):
                api.put("cat", spec={"number": number})
                await until(lambda number=number: ("cat", number) in seen)
            return life.ended

    assert run(scenario) is None
    assert seen == [("cat", number) for number in range(6)]


def test_trap_a_kind_that_comes_later_is_never_found(api, registry, seen):
    """What is there when kopf starts is all it looks for, with scanning off: it may not list CRDs."""
    api.serves = False

    async def scenario():
        async with living(api, registry) as life:
            groups = {("GET", "/api/v1"), ("GET", "/apis/catfish.dev/v1alpha1")}  # asked at the same time
            await until(lambda: groups <= {*api.asked})
            api.serves = True
            api.put("cat")
            scans = len(api.asked)
            await asyncio.sleep(0.5)  # the only way to see nothing
            return life.ended, scans == len(api.asked)

    assert run(scenario) == (None, True)
    assert seen == []
