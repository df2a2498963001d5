import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from catfish_server.errors import Overloaded
from catfish_server.inference.engine import Engine


class Gate:
    """A model that answers when it is let through."""

    def __init__(self):
        self.open = threading.Event()
        self.entered = threading.Semaphore(0)

    def __call__(self, batch):
        self.entered.release()
        assert self.open.wait(20)
        return batch


def image(number):
    return np.full((1, 3, 2, 2), number, np.float32)


def number(batch):
    return batch.flat[0]


@pytest.fixture
def engines():
    started = []

    def start(forward, **options):
        started.append(Engine(forward, **{"threads": 1, **options}))
        return started[-1]

    yield start
    for engine in started:
        engine.close()


def until(condition):
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        threading.Event().wait(0.005)


def test_each_caller_gets_the_answer_to_its_own_batch(engines):
    engine = engines(lambda batch: batch * 2, threads=3)
    with ThreadPoolExecutor(16) as pool:
        results = list(pool.map(lambda n: number(*engine.infer([image(n)], timeout_seconds=10)), range(200)))
    assert results == [2.0 * n for n in range(200)]


def test_the_model_runs_on_as_many_threads_as_are_asked_for(engines):
    barrier, seen = threading.Barrier(3, timeout=10), []

    def forward(batch):
        barrier.wait()
        seen.append(threading.get_ident())
        return batch

    engine = engines(forward, threads=3)
    with ThreadPoolExecutor(3) as pool:
        list(pool.map(lambda _: engine.infer([image(0)], timeout_seconds=10), range(3)))
    assert len(set(seen)) == 3


def test_what_the_model_raises_reaches_its_caller_and_the_thread_lives_on(engines):
    def forward(batch):
        if number(batch) < 0:
            raise ArithmeticError("below zero")
        return batch

    engine = engines(forward)
    with pytest.raises(ArithmeticError, match="below zero"):
        engine.infer([image(-1)], timeout_seconds=10)
    assert number(*engine.infer([image(1)], timeout_seconds=10)) == 1


def test_a_full_queue_refuses_at_once(engines):
    gate = Gate()
    engine = engines(gate, queue_length=2)
    with ThreadPoolExecutor(3) as pool:
        waiting = [pool.submit(engine.infer, [image(0)], timeout_seconds=10)]
        gate.entered.acquire()
        waiting += [pool.submit(engine.infer, [image(0)], timeout_seconds=10) for _ in range(2)]
        until(lambda: engine.queued() == 2)
        with pytest.raises(Overloaded) as caught:
            engine.infer([image(0)], timeout_seconds=10)
        gate.open.set()
        assert [number(*future.result(timeout=10)) for future in waiting] == [0, 0, 0]
    assert (caught.value.status, caught.value.reason) == (503, "queue")
    assert caught.value.retry_after_seconds >= 1


def test_a_predicted_wait_that_is_too_long_refuses_though_there_is_room(engines):
    now = [0.0]
    gate = Gate()

    def forward(batch):
        now[0] += 2.0  # each pass takes two seconds of the engine's clock
        return gate(batch)

    engine = engines(forward, max_wait_seconds=1.0, clock=lambda: now[0])
    gate.open.set()
    engine.infer([image(0)], timeout_seconds=10)
    gate.entered.acquire()
    gate.open.clear()
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(engine.infer, [image(0)], timeout_seconds=20)
        gate.entered.acquire()
        second = pool.submit(engine.infer, [image(0)], timeout_seconds=20)
        until(lambda: engine.queued() == 1)
        with pytest.raises(Overloaded, match=r"about 2\.0 s") as caught:
            engine.infer([image(0)], timeout_seconds=20)
        gate.open.set()
        first.result(timeout=10)
        second.result(timeout=10)
    assert caught.value.retry_after_seconds == 2


def test_a_caller_waits_no_longer_than_its_timeout_and_its_work_is_dropped(engines):
    gate, ran = Gate(), []

    def forward(batch):
        ran.append(number(batch))
        return gate(batch)

    engine = engines(forward)
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(engine.infer, [image(1)], timeout_seconds=10)
        gate.entered.acquire()
        with pytest.raises(Overloaded, match="did not answer"):
            engine.infer([image(2)], timeout_seconds=0.05)
        gate.open.set()
        first.result(timeout=10)
    engine.infer([image(3)], timeout_seconds=10)
    assert ran == [1.0, 3.0]


def test_a_hanging_pass_is_seen_from_outside(engines):
    now = [0.0]
    gate = Gate()
    engine = engines(gate, clock=lambda: now[0])
    assert engine.busy_seconds() == 0
    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(engine.infer, [image(0)], timeout_seconds=1000)
        gate.entered.acquire()
        now[0] = 61.0
        assert engine.busy_seconds() == 61
        gate.open.set()
        future.result(timeout=10)
    until(lambda: engine.busy_seconds() == 0)


def test_a_closed_engine_refuses(engines):
    engine = engines(lambda batch: batch)
    engine.close()
    with pytest.raises(Overloaded, match="shutting down"):
        engine.infer([image(0)], timeout_seconds=1)


class Clock:
    """A clock that the test moves."""

    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


def timed(clock, seconds):
    """A model whose passes take the given seconds of a clock, one after the other."""
    left = iter(seconds)

    def forward(batch):
        clock.now += next(left)
        return batch

    return forward


def test_what_was_measured_in_the_warm_up_can_be_forgotten(engines):
    clock = Clock()
    engine = engines(timed(clock, [1.0, 0.05]), clock=clock)
    engine.infer([image(0)], timeout_seconds=10)
    until(lambda: engine.seconds_each == pytest.approx(1.0))
    engine.forget()
    engine.infer([image(0)], timeout_seconds=10)
    until(lambda: engine.seconds_each == pytest.approx(0.05))


def test_a_request_that_was_skipped_does_not_count_as_a_fast_pass(engines):
    clock, gate = Clock(), Gate()
    engine = engines(gate, clock=clock)
    with ThreadPoolExecutor(3) as pool:
        first = pool.submit(engine.infer, [image(0)], timeout_seconds=100)
        assert gate.entered.acquire(timeout=10)
        late = [pool.submit(engine.infer, [image(0)], timeout_seconds=0.01) for _ in range(2)]
        for future in late:
            assert future.exception(timeout=10).reason == "deadline"
        clock.now += 2.0
        gate.open.set()
        first.result(timeout=10)
    until(lambda: engine.queued() == 0 and engine.busy_seconds() == 0)
    assert engine.seconds_each == pytest.approx(2.0)


def test_a_batch_that_fails_when_nobody_waits_for_it_any_more_leaves_its_thread_free(engines):
    clock, gate = Clock(), Gate()

    def model(batch):
        gate(batch)
        if len(batch) > 1:
            clock.now += 100.0
            raise RuntimeError("the device is lost")
        return batch

    engine = engines(model, clock=clock)
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(engine.infer, [image(0)], timeout_seconds=10)
        assert gate.entered.acquire(timeout=10)
        late = pool.submit(engine.infer, [image(1), image(2)], timeout_seconds=10)
        until(lambda: engine.queued() == 2)
        gate.open.set()
        first.result(timeout=10)
        assert late.exception(timeout=10).reason == "deadline"
    until(lambda: engine.busy_seconds() == 0)
    assert number(*engine.infer([image(3)], timeout_seconds=5)) == 3.0


def test_closing_waits_for_all_hanging_passes_together(engines):
    gate = Gate()
    engine = engines(gate, threads=4)
    with ThreadPoolExecutor(4) as pool:
        hanging = [pool.submit(engine.infer, [image(0)], timeout_seconds=60) for _ in range(4)]
        for _ in hanging:
            assert gate.entered.acquire(timeout=10)
        began = time.monotonic()
        engine.close()
        assert time.monotonic() - began < 3
        gate.open.set()
