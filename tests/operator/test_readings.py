"""What pods tell of themselves, asked over real sockets."""

import asyncio
import json
import time

import aiohttp
import pytest
from aiohttp import web

from catfish_operator.controller import readings
from catfish_operator.controller.readings import PodReadings, parse
from catfish_operator.observed import Reading

KEY = ("default", "cat")
DIGEST = "0123456789abcdef" * 4
METRICS = b"""# TYPE catfish_requests counter
catfish_requests_total{path="/predict",code="200"} 60
catfish_requests_total{path="/predict",code="503"} 5
catfish_requests_total{path="/v2/models/{model}/infer",code="200"} 20
catfish_requests_total{path="/v2/models/{model}/infer",code="500"} 3
catfish_requests_total{path="/inference.GRPCInferenceService/ModelInfer",code="200"} 10
catfish_requests_total{path="/inference.GRPCInferenceService/ModelInfer",code="503"} 2
catfish_requests_total{path="/v2/models/{model}",code="500"} 55
catfish_requests_total{path="/",code="500"} 55
# TYPE catfish_request_duration_seconds histogram
catfish_request_duration_seconds_bucket{le="+Inf"} 90
catfish_request_duration_seconds_count 90
catfish_request_duration_seconds_sum 4.5
"""
WEIGHTS = {"sha256": DIGEST, "bytes": 44, "format": "safetensors", "downloadSeconds": 1.23}

GOLDEN = {"verification": {"right": 3, "total": 4}}


def test_a_whole_answer_is_read():
    told = json.dumps({"stage": "fetching", "done": 7, "total": 9, "weights": WEIGHTS} | GOLDEN).encode()
    assert parse(told, METRICS) == Reading(
        stage="fetching",
        done=7,
        counted=True,
        requests=100,
        errors=10,
        predictions=90,
        seconds=4.5,
        weights=WEIGHTS | {"downloadSeconds": 1.2},
        golden={"right": 3, "total": 4},
    )


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"not json",
        b"[]",
        b"null",
        b'{"stage": 1, "done": "x"}',
        b'{"done": -1}',
        b"[" * 9000,
        b'{"done": true}',
    ],
)
def test_what_is_not_as_the_contract_says_counts_as_not_told(answer):
    found = parse(answer, b"")
    assert (found.stage, found.weights) == (None, None)
    assert found.done in (0, 1)


@pytest.mark.parametrize("digest", [None, "", "x" * 64, DIGEST.upper(), DIGEST + "0", ["a"] * 64, 5])
def test_weights_without_a_digest_that_is_one_are_not_told(digest):
    assert parse(json.dumps({"weights": WEIGHTS | {"sha256": digest}}).encode(), b"").weights is None


@pytest.mark.parametrize(
    "text",
    [
        b"catfish_requests_total{path=",
        b"\xff\xfe",
        b'catfish_requests_total{path="/predict",code="200"} NaN\n',
        b'catfish_requests_total{path="/predict",code="200"} -4\n',
    ],
)
def test_counts_that_cannot_be_read_are_not_counted(text):
    assert not parse(b"{}", text).counted


def test_metrics_of_others_are_not_parsed_and_a_stage_is_a_word_of_the_contract():
    foreign = b"a 1\n" * 100_000 + b"broken{\n" + b'catfish_requests_total{path="' + b"x" * 9000 + b"\n"
    flood = b'catfish_requests_total{path="/other",code="200"} 1\n' * 10_000
    began = time.process_time()
    found = parse(json.dumps({"stage": "x" * 60_000}).encode(), foreign + METRICS + flood)
    took = time.process_time() - began
    assert (found.stage, found.requests, found.predictions) == (None, 100, 90)
    assert took < 0.2, "the event loop stands still for so long"


class Pod:
    """A pod's admin port on this machine."""

    def __init__(self):
        self.asked, self.stage, self.body = 0, "ready", METRICS

    async def readyz(self, _):
        self.asked += 1
        return web.json_response({"stage": self.stage, "weights": WEIGHTS}, status=503)

    async def metrics(self, _):
        return web.Response(body=self.body)

    async def hang(self, _):
        await asyncio.sleep(60)


def pod(name="cat-1", ip="127.0.0.1", *, ready=True):
    return {
        "metadata": {
            "name": name,
            "namespace": "default",
            "uid": f"uid-{name}",
            "labels": {"app.kubernetes.io/instance": "cat"},
        },
        "status": {
            "podIP": ip,
            "conditions": [{"type": "Ready", "status": "True" if ready else "False"}],
        },
    }


def with_pod(scenario, *, hang=False):
    """Runs `scenario(kept, served, answers, clock)` beside a pod that listens."""

    async def run():
        served, answers, now = Pod(), [], [0.0]
        app = web.Application()
        app.add_routes(
            [web.get("/readyz", served.hang if hang else served.readyz), web.get("/metrics", served.metrics)]
        )
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        try:
            async with aiohttp.ClientSession() as session:
                kept = PodReadings(
                    session=session,
                    answered=answers.append,
                    clock=lambda: now[0],
                    port=runner.addresses[0][1],
                )
                await scenario(kept, served, answers, now)
        finally:
            await runner.cleanup()

    asyncio.run(run())


async def until(condition):
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 - what is waited for has no event
            await asyncio.sleep(0.01)


def test_a_pod_is_asked_in_the_background_and_its_model_looked_at_when_it_has_answered():
    async def scenario(kept, _served, answers, _now):
        kept.ask(KEY, [pod()], again=True)
        assert kept.latest([pod()]) == {}
        await until(lambda: answers)
        assert answers == [KEY]
        assert kept.latest([pod()])["uid-cat-1"].requests == 100

    with_pod(scenario)


def test_a_watched_pod_is_asked_again_after_a_while_and_speaks_up_only_with_news():
    async def scenario(kept, served, answers, now):
        for seconds, asked in ((0, 1), (1, 1), (2, 2)):
            now[0] = seconds
            kept.ask(KEY, [pod()], again=True)
            await kept._known[KEY]["uid-cat-1"].task
            assert served.asked == asked
        assert answers == [KEY]
        assert kept.latest([pod()])["uid-cat-1"].at == 2, "it has told the same, and later"
        now[0], served.body = 4, METRICS.replace(b" 60\n", b" 61\n", 1)
        kept.ask(KEY, [pod()], again=True)
        await until(lambda: len(answers) == 2)

    with_pod(scenario)


def test_a_settled_pod_that_has_told_its_weights_is_left_alone():
    async def scenario(kept, served, answers, now):
        kept.ask(KEY, [pod(ready=False)], again=False)
        kept.ask(KEY, [pod()], again=False)
        await until(lambda: answers)
        now[0] = 9999
        kept.ask(KEY, [pod()], again=False)
        await asyncio.sleep(0)
        assert served.asked == 1

    with_pod(scenario)


def test_a_pod_that_does_not_answer_in_time_is_no_reading_and_no_error(monkeypatch):
    monkeypatch.setattr(readings, "SECONDS", 0.1)

    async def scenario(kept, _served, answers, _now):
        kept.ask(KEY, [pod()], again=True)
        await kept._known[KEY]["uid-cat-1"].task
        assert (answers, kept.latest([pod()])) == ([], {})

    with_pod(scenario, hang=True)


def test_an_answer_without_end_is_cut_off(monkeypatch):
    monkeypatch.setattr(readings, "LIMIT", 50)

    async def scenario(kept, _served, answers, _now):
        kept.ask(KEY, [pod()], again=True)
        await kept._known[KEY]["uid-cat-1"].task
        assert answers == []

    with_pod(scenario)


def test_pods_that_are_gone_are_forgotten():
    async def scenario(kept, _served, answers, _now):
        kept.ask(KEY, [pod()], again=True)
        await until(lambda: answers)
        kept.ask(KEY, [pod("cat-2", ip="")], again=True)
        assert kept.latest([pod()]) == {}
        kept.ask(KEY, [], again=True)
        assert kept._known == {}

    with_pod(scenario)
