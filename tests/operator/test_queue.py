"""The queue: once, one at a time, fair, with a back-off."""

import asyncio

import pytest

from catfish_operator.controller.queue import LONGEST_BACKOFF, SHORTEST_RETRY, Key, Queue


class Clock:
    """A clock that stands still until it is put forward."""

    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def queue(clock):
    return Queue(clock=clock, chance=lambda: 0.0)


A, B, C = Key("one", "a"), Key("one", "b"), Key("two", "c")


def drain(queue):
    taken = []
    while (key := queue.take()) is not None:
        taken.append(key)
    return taken


def test_a_key_that_is_added_twice_is_handed_out_once(queue):
    queue.add(A)
    queue.add(A)
    assert drain(queue) == [A]


def test_a_key_being_worked_on_is_handed_to_nobody_else(queue):
    queue.add(A)
    assert queue.take() == A
    queue.add(A)
    assert queue.take() is None


def test_what_is_added_during_the_work_is_handed_out_after_it(queue):
    queue.add(A)
    queue.take()
    queue.add(A)
    queue.done(A)
    assert drain(queue) == [A]


def test_a_key_that_is_done_does_not_come_back(queue, clock):
    queue.add(A)
    queue.take()
    queue.done(A)
    clock.now += 1e6
    assert drain(queue) == []


def test_namespaces_take_turns(queue):
    noisy = [Key("noisy", str(number)) for number in range(100)]
    for key in noisy:
        queue.add(key)
    queue.add(C)
    assert C in [queue.take(), queue.take()]


def test_the_back_off_doubles_up_to_its_limit(queue, clock):
    delays = []
    queue.add(A)
    for _ in range(10):
        assert queue.take() == A
        delays.append(queue.failed(A))
        clock.now += delays[-1]
    assert delays == [0.5, 1, 2, 4, 8, 16, 32, LONGEST_BACKOFF, LONGEST_BACKOFF, LONGEST_BACKOFF]


def test_jitter_only_shortens_a_delay(clock):
    queue = Queue(clock=clock, chance=lambda: 1.0)
    queue.add(A)
    queue.take()
    assert queue.failed(A) == pytest.approx(0.5 * 0.75)


def test_success_forgets_the_back_off(queue, clock):
    queue.add(A)
    queue.take()
    clock.now += queue.failed(A)
    queue.take()
    queue.done(A)
    queue.add(A)
    queue.take()
    assert queue.failed(A) == 0.5


def test_a_failed_key_waits_for_its_time(queue, clock):
    queue.add(A)
    queue.take()
    delay = queue.failed(A)
    clock.now += delay * 0.99
    assert queue.take() is None
    clock.now += delay * 0.02
    assert queue.take() == A


def test_an_event_shortens_a_long_back_off_but_a_storm_is_one_try_a_second(queue, clock):
    queue.add(A)
    for _ in range(8):
        queue.take()
        clock.now += queue.failed(A)
    queue.take()
    queue.failed(A)
    clock.now += 0.1
    for _ in range(100):
        queue.add(A)
    assert queue.take() is None
    clock.now += SHORTEST_RETRY
    assert drain(queue) == [A]


def test_an_event_does_not_lengthen_a_short_back_off(queue, clock):
    queue.add(A)
    queue.take()
    queue.failed(A)
    queue.add(A)
    clock.now += 0.5
    assert queue.take() == A


def test_one_failing_key_holds_up_no_other(queue):
    queue.add(A)
    queue.take()
    queue.failed(A)
    queue.add(B)
    assert drain(queue) == [B]


def test_a_delayed_key_comes_back_in_time_and_an_event_brings_it_forward(queue, clock):
    queue.add(A)
    queue.add(B)
    queue.take(), queue.take()
    queue.done(A, again_after=10)
    queue.done(B, again_after=10)
    queue.add(B)
    assert drain(queue) == [B]
    queue.done(B)
    clock.now += 10
    assert drain(queue) == [A]


def test_a_forgotten_key_is_not_kept_waiting(queue, clock):
    queue.add(A)
    queue.take()
    queue.done(A, again_after=10)
    queue.forget(A)
    clock.now += 20
    assert drain(queue) == []
    assert queue.seconds_to_next() is None


async def _hand_out(queue, count):
    async with asyncio.timeout(10):
        return await asyncio.gather(*(queue.get() for _ in range(count)))


def test_sleeping_workers_are_woken_one_for_each_key(queue):
    async def scenario():
        waiting = asyncio.create_task(_hand_out(queue, 3))
        await asyncio.sleep(0)
        for key in (A, B, C):
            queue.add(key)
        return await waiting

    assert sorted(asyncio.run(scenario())) == [A, B, C]


def test_a_sleeping_worker_wakes_up_when_a_delay_ends():
    async def scenario():
        queue = Queue(clock=asyncio.get_running_loop().time)
        queue.add_after(A, 0.02)
        return await _hand_out(queue, 1)

    assert asyncio.run(scenario()) == [A]
