"""What is closed again: classifiers of files, engines, and one that is held at a gate."""

import hashlib
from concurrent.futures import ThreadPoolExecutor

import pytest

from catfish_server.inference import build
from catfish_server.inference.engine import Engine
from catfish_server.lifecycle import Lifecycle
from catfish_server.settings import Settings
from catfish_server.weights.sandbox import Sandbox
from tests.model_server.inference.batching import image, until
from tests.model_server.whole_models import SIZE


@pytest.fixture
def built(tmp_path):
    made = []

    def build_it(path, *, vouched=True, lifecycle=None, **settings):
        sha256 = hashlib.sha256(path.read_bytes()).hexdigest() if vouched else None
        chosen = Settings(
            location=str(path), sha256=sha256, image_size=SIZE, cache_dir=tmp_path, threads=1, **settings
        )
        sandbox = Sandbox(likely=False)
        try:
            made.append(build.classifier(chosen, {}, lifecycle=lifecycle or Lifecycle(), sandbox=sandbox))
        finally:
            sandbox.close()
        return made[-1]

    yield build_it
    for classifier in made:
        classifier.close()


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
