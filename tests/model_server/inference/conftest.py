"""Engines that are closed again, and one that is held at a gate."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from catfish_server.inference.engine import Engine
from tests.model_server.inference.batching import image, until


@pytest.fixture
def engines():
    started = []

    def start(model, **options):
        started.append(Engine(model, **{"threads": 1, **options}))
        return started[-1]

    yield start
    for engine in started:
        engine.close()


@pytest.fixture
def pool():
    with ThreadPoolExecutor(16) as made:
        yield made


@pytest.fixture
def held(engines, pool):
    """An engine whose one thread is at image 0, while what is asked for waits; returns the futures of the calls."""

    def hold(gate, *calls, timeout_seconds=60, **options):
        engine = engines(gate, **options)
        asked = [pool.submit(engine.infer, [image(0)], timeout_seconds=60)]
        assert gate.entered.acquire(timeout=30)
        waiting = 0
        for call in calls:
            asked.append(pool.submit(engine.infer, call, timeout_seconds=timeout_seconds))
            waiting += len(call)
            until(lambda expected=waiting: engine.queued() == expected)
        return engine, asked

    return hold
