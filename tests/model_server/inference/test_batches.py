"""What the engine makes batches of, whom it answers what, and what it drops."""

import random
import threading
import time
from collections import Counter

import numpy as np
import pytest

from tests.model_server.inference.batching import Clock, Gate, image, numbers, until


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
