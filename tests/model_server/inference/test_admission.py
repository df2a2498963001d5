"""Which images are let in, which are dropped, and what happens to a model that is replaced."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from catfish_server.errors import Overloaded
from catfish_server.inference.engine import Batch, TooManyImages
from catfish_server.waiting import Call, ClientGone, NoTimeGiven, within
from tests.model_server.inference.batching import Clock, Gate, image, numbers, until


def test_an_image_whose_time_is_over_is_dropped_before_it_is_run(held):
    clock, gate = Clock(), Gate()
    _, asked = held(gate, [image(1)], timeout_seconds=30, clock=clock)
    clock.now = 31.0
    gate.open.set()
    with pytest.raises(Overloaded, match="did not answer within 30 s") as caught:
        asked[1].result(30)
    assert caught.value.reason == "deadline"
    assert gate.batches == [[0]]


def test_the_images_of_a_client_who_has_left_are_dropped_before_they_are_run(engines, pool):
    gate, left = Gate(), threading.Event()
    engine = engines(gate)
    first = pool.submit(engine.infer, [image(0)], timeout_seconds=60)
    assert gate.entered.acquire(timeout=30)

    def ask():
        with within(Call(arrived=time.monotonic(), seconds=30, gone=left.is_set)):
            return engine.infer([image(1), image(2)], timeout_seconds=60)

    gone = pool.submit(ask)
    until(lambda: engine.queued() == 2)
    left.set()
    with pytest.raises(ClientGone):
        gone.result(30)
    assert engine.queued() == 0
    gate.open.set()
    first.result(30)
    assert numbers(engine.infer([image(3)], timeout_seconds=60)) == [3]
    assert gate.batches == [[0], [3]]


def test_a_call_is_accepted_as_a_whole_or_not_at_all(held):
    gate = Gate()
    engine, asked = held(gate, [image(1), image(2)], queue_length=4)
    with pytest.raises(Overloaded) as caught:
        engine.infer([image(3), image(4), image(5)], timeout_seconds=60)
    assert (caught.value.reason, engine.queued()) == ("queue", 2)
    gate.open.set()
    assert numbers(asked[1].result(30)) == [1, 2]


def test_what_an_idle_thread_is_about_to_take_holds_no_place_that_a_call_needs(engines, pool):
    idle, go_on = threading.Semaphore(0), threading.Event()

    def hold_back(_batch):  # its pass has ended, and it has not looked yet for what comes next
        idle.release()
        assert go_on.wait(30)

    engine = engines(lambda batch: batch, queue_length=4, max_batch=1, observed=hold_back)
    engine.infer([image(0)], timeout_seconds=60)
    assert idle.acquire(timeout=30)
    try:
        small = pool.submit(engine.infer, [image(1)], timeout_seconds=60)
        until(lambda: engine.queued() == 1)
        large = pool.submit(engine.infer, [image(number) for number in (2, 3, 4, 5)], timeout_seconds=60)
        until(lambda: engine.queued() == 5 or large.done())
        assert not large.done(), large.exception()
        with pytest.raises(Overloaded, match="4 images are waiting already") as caught:
            engine.infer([image(6)], timeout_seconds=60)
    finally:
        go_on.set()
    assert caught.value.reason == "queue"
    assert (numbers(small.result(30)), numbers(large.result(30))) == ([1], [2, 3, 4, 5])


def test_a_call_that_could_never_wait_is_told_so(engines):
    engine = engines(lambda batch: batch, queue_length=4)
    with pytest.raises(TooManyImages, match="more than 4 images") as caught:
        engine.infer([image(0)] * 5, timeout_seconds=60)
    assert caught.value.status == 413


def test_the_predicted_wait_is_that_of_batches_and_not_of_images(held):
    clock = Clock()

    def a_second(batch):
        clock.now += 1.0
        return batch

    gate = Gate(a_second)
    gate.open.set()
    engine, _ = held(gate, clock=clock, max_batch=4, max_wait_seconds=1.5)
    for _ in range(3):
        engine.infer([image(0)] * 4, timeout_seconds=60)
    until(lambda: engine.busy_seconds() == 0)
    gate.open.clear()
    with ThreadPoolExecutor(4) as pool:
        while gate.entered.acquire(blocking=False):
            pass
        asked = [pool.submit(engine.infer, [image(0)], timeout_seconds=60)]
        assert gate.entered.acquire(timeout=30)
        asked += [pool.submit(engine.infer, [image(0)] * 4, timeout_seconds=60)]
        until(lambda: engine.queued() == 4)
        # What runs has 1 s to go and what waits takes another; eight images of a second each would be nine.
        with pytest.raises(Overloaded, match=r"4 images are waiting already, about 2\.0 s"):
            engine.infer([image(0)], timeout_seconds=60)
        gate.open.set()
        for future in asked:
            future.result(30)


def test_a_call_whose_images_take_longer_than_anybody_waits_is_refused_at_once(engines):
    clock = Clock()

    def a_second_each(batch):
        clock.now += len(batch)
        return batch

    engine = engines(a_second_each, clock=clock, max_batch=1)
    engine.infer([image(0)], timeout_seconds=0.5)
    assert numbers(engine.infer([image(1), image(2)], timeout_seconds=3)) == [1, 2]
    with pytest.raises(Overloaded) as caught:
        engine.infer([image(0)] * 4, timeout_seconds=3)
    assert caught.value.reason == "deadline"
    call = Call(arrived=time.monotonic(), seconds=60, client_seconds=30)
    with pytest.raises(NoTimeGiven), within(call):
        engine.infer([image(0)] * 4, timeout_seconds=3)
    assert call.left() > 0


def test_an_observer_is_told_of_every_batch(held):
    clock, gate, told = Clock(), Gate(), []
    _, asked = held(gate, [image(1)], [image(2)], clock=clock, observed=told.append)
    clock.now = 2.0
    gate.open.set()
    for future in asked:
        future.result(30)
    until(lambda: len(told) == 2)
    assert told == [
        Batch(size=1, queued_seconds=(0.0,), seconds=2.0),
        Batch(size=2, queued_seconds=(2.0, 2.0), seconds=0.0),
    ]


def test_a_pass_that_has_begun_ends_with_the_model_that_was_replaced(engines, pool):
    clock, old = Clock(), Gate(lambda batch: batch + 100)
    engine = engines(old, threads=2, clock=clock)
    before = pool.submit(engine.infer, [image(1)], timeout_seconds=600)
    assert old.entered.acquire(timeout=30)

    def new(batch):
        clock.now += 0.25
        return batch + 200

    engine.replace(new)
    assert numbers(engine.infer([image(1)], timeout_seconds=600)) == [201]
    clock.now += 60
    old.open.set()
    assert numbers(before.result(30)) == [101]
    until(lambda: engine.busy_seconds() == 0)
    assert engine.seconds_each == pytest.approx(0.25)


def test_models_are_replaced_under_load_without_a_failed_or_a_mixed_answer(engines, pool):
    current, over = [0], threading.Event()

    def of(generation):
        def model(batch):
            time.sleep(0.001)
            return batch * 0 + generation + batch * 1000

        return model

    engine = engines(of(0), threads=2)

    def ask(number):
        answered = 0
        while not over.is_set():
            first = current[0]
            rows = numbers(engine.infer([image(number), image(number + 1)], timeout_seconds=60))
            generations = [row - 1000 * (number + n) for n, row in enumerate(rows)]
            # The generation is noted after the swap: the answer may be one ahead of what was noted.
            assert all(first <= generation <= current[0] + 1 for generation in generations)
            answered += len(rows)
        return answered

    asking = [pool.submit(ask, 2 * number) for number in range(8)]
    for generation in range(1, 41):
        threading.Event().wait(0.01)
        engine.replace(of(generation))
        current[0] = generation
    assert numbers(engine.infer([image(0)], timeout_seconds=60)) == [40]
    over.set()
    assert sum(future.result(30) for future in asking) > 200
