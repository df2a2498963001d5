"""What the engine makes batches of, whom it answers what, and what it drops."""

import random
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from catfish_server.errors import Overloaded
from catfish_server.inference.engine import Batch, Engine, TooManyImages
from catfish_server.inference.jobs import ClientGone, watching


class Gate:
    """A model that answers when it is let through, and keeps the numbers of every batch."""

    def __init__(self, model=lambda batch: batch):
        self.model = model
        self.open = threading.Event()
        self.entered = threading.Semaphore(0)
        self.batches = []

    def __call__(self, batch):
        self.batches.append(batch[:, 0, 0, 0].tolist())
        self.entered.release()
        assert self.open.wait(60)
        return self.model(batch)


class Clock:
    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


def image(number, side=2):
    return np.full((1, 3, side, side), number, np.float32)


def numbers(rows):
    return [float(row.flat[0]) for row in rows]


def until(condition):
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        threading.Event().wait(0.005)


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


def test_what_waits_is_one_batch_for_the_only_thread(held):
    gate = Gate()
    _, asked = held(gate, [image(1)], [image(2), image(3)])
    gate.open.set()
    assert [numbers(future.result(30)) for future in asked] == [[0], [1], [2, 3]]
    assert gate.batches == [[0], [1, 2, 3]]


def test_a_batch_is_no_larger_than_what_is_useful(held):
    gate = Gate()
    _, asked = held(gate, [image(number) for number in range(1, 8)])
    gate.open.set()
    assert numbers(asked[1].result(30)) == [1, 2, 3, 4, 5, 6, 7]
    assert gate.batches == [[0], [1, 2, 3, 4], [5, 6, 7]]


def test_threads_that_are_free_share_what_waits(engines):
    gate = Gate()
    gate.open.set()
    barrier = threading.Barrier(2, timeout=30)

    def both(batch):
        barrier.wait()
        return gate(batch)

    rows = engines(both, threads=2).infer([image(number) for number in range(4)], timeout_seconds=60)
    assert numbers(rows) == [0, 1, 2, 3]
    assert sorted(gate.batches) == [[0, 1], [2, 3]]


def test_images_of_other_sizes_are_other_batches_and_nobody_is_overtaken(held):
    gate = Gate()
    _, asked = held(gate, [image(1), image(2, side=3)], [image(3, side=3)], [image(4)])
    gate.open.set()
    assert [numbers(future.result(30)) for future in asked] == [[0], [1, 2], [3], [4]]
    assert gate.batches == [[0], [1], [2, 3], [4]]


def test_batches_can_be_switched_off(held):
    gate = Gate()
    _, asked = held(gate, [image(1), image(2)], max_batch=1)
    gate.open.set()
    assert numbers(asked[1].result(30)) == [1, 2]
    assert gate.batches == [[0], [1], [2]]


def refusing_negatives(batch):
    if (batch < 0).any():
        raise ArithmeticError("below zero")
    return batch


def test_an_image_that_the_model_fails_on_fails_nobody_else(held):
    gate = Gate(refusing_negatives)
    _, asked = held(gate, [image(1)], [image(-2)], [image(3)])
    gate.open.set()
    assert numbers(asked[1].result(30) + asked[3].result(30)) == [1, 3]
    with pytest.raises(ArithmeticError, match="below zero"):
        asked[2].result(30)
    assert gate.batches == [[0], [1, -2, 3], [1], [-2], [3]]


@pytest.mark.parametrize("answer", ["raises", "one-row-for-all"])
def test_a_model_that_takes_no_such_batch_answers_one_by_one_and_is_not_asked_again(held, answer):
    def two_at_most(batch):
        if len(batch) > 2:
            if answer == "raises":
                raise RuntimeError("no such batch")
            return batch[:1]
        return batch

    gate = Gate(two_at_most)
    engine, asked = held(gate, [image(number) for number in range(1, 5)])
    gate.open.set()
    assert numbers(asked[1].result(30)) == [1, 2, 3, 4]
    until(lambda: engine.useful_batch <= 2)
    assert numbers(engine.infer([image(number) for number in range(5, 9)], timeout_seconds=60)) == [
        5,
        6,
        7,
        8,
    ]
    assert Counter(map(len, gate.batches))[4] == 1


def test_it_learns_which_size_is_useful_while_it_answers(engines):
    clock = Clock()
    sizes = []

    def mostly_overhead(batch):
        clock.now += 1.0 + 0.01 * len(batch)
        sizes.append(len(batch))
        return batch

    engine = engines(mostly_overhead, clock=clock)
    call = [image(number) for number in range(32)]
    for _ in range(20):
        engine.infer(call, timeout_seconds=10_000)
    assert (sizes[0], sizes[-1], engine.useful_batch) == (4, 32, 32)


def test_a_model_that_gains_nothing_from_batches_gets_single_images(engines):
    clock = Clock()
    sizes = []

    def no_overhead(batch):
        clock.now += len(batch)
        sizes.append(len(batch))
        return batch

    engine = engines(no_overhead, clock=clock)
    engine.infer([image(0)], timeout_seconds=10_000)
    for _ in range(3):
        engine.infer([image(number) for number in range(4)], timeout_seconds=10_000)
    assert sizes == [1, 4, 4, 1, 1, 1, 1]


def test_nobody_gets_the_answer_of_another_in_thousands_of_mixed_calls(engines, pool):
    sizes = Counter()

    def model(batch):
        sizes[len(batch)] += 1
        time.sleep(0.0005)
        refusing_negatives(batch)
        return np.stack([batch[:, 0, 0, 0] * 2, batch[:, 1, -1, -1] + batch.shape[-1]], axis=1)

    engine = engines(model, threads=3)

    def ask(seed):
        choose = random.Random(seed)
        call = [(seed * 8 + n + 1, choose.choice((2, 2, 2, 3))) for n in range(choose.randint(1, 5))]
        guilty = choose.random() < 0.05
        images = [image(number, side) for number, side in call] + ([image(-1)] if guilty else [])
        if guilty:
            with pytest.raises(ArithmeticError):
                engine.infer(images, timeout_seconds=60)
            return 0
        rows = engine.infer(images, timeout_seconds=60)
        assert [row.tolist() for row in rows] == [[[2 * number, number + side]] for number, side in call]
        return len(call)

    assert sum(pool.map(ask, range(1000))) > 2000
    assert max(sizes) > 1


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
        with watching(left.is_set):
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


def test_a_call_that_could_never_wait_is_told_so(engines):
    engine = engines(lambda batch: batch, queue_length=4)
    with pytest.raises(TooManyImages, match="has 5 images; at most 4 may wait") as caught:
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
    with pytest.raises(Overloaded):
        engine.infer([image(0)] * 4, timeout_seconds=3)


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
