import itertools

import numpy as np
import pytest

from catfish_server.inference.engines import choose, probes


class Clock:
    """Time that passes only while a model computes."""

    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now

    def model(self, *seconds):
        """A model that takes so long an image, by turns."""
        turns = itertools.cycle(seconds)

        def compute(batch):
            self.now += next(turns) * len(batch)
            return np.zeros((len(batch), 2), dtype=np.float32)

        return compute


def test_the_time_is_that_of_an_image_and_the_best_round_counts():
    clock = Clock()
    models = {"steady": clock.model(0.010), "jittery": clock.model(0.5, 0.5, 0.005, 0.5, 0.5, 0.004)}
    times = choose.milliseconds(models, image_size=8, clock=clock, rounds=3, sizes=(1, 4))
    assert times["steady"] == pytest.approx(10)
    assert times["jittery"] < 5.1


def test_the_models_take_turns():
    order = []
    models = {
        name: (lambda batch, name=name: order.append((name, len(batch))) or np.zeros((len(batch), 2)))
        for name in "ab"
    }
    choose.milliseconds(models, image_size=8, rounds=2, sizes=(1, 4))
    assert order[4:] == [("a", 1), ("b", 1), ("a", 4), ("b", 4)] * 2


def test_slow_models_are_timed_once_and_not_for_ever():
    clock = Clock()
    passes = []
    slow = clock.model(60.0)
    choose.milliseconds(
        {"slow": lambda batch: passes.append(1) or slow(batch)},
        image_size=8,
        clock=clock,
        rounds=9,
        sizes=(1,),
    )
    assert len(passes) == 2  # the first of a shape, and one that counts


@pytest.mark.parametrize(
    ("times", "forced", "chosen"),
    [
        ({"eager": 100, "torchscript": 87, "onnxruntime": 78}, False, "onnxruntime"),
        ({"eager": 100, "torchscript": 60, "onnxruntime": 78}, False, "torchscript"),
        ({"eager": 100, "torchscript": 97}, False, "eager"),
        ({"eager": 100, "torchscript": 97}, True, "torchscript"),
        ({"eager": 100}, False, "eager"),
        ({"eager": 100}, True, "eager"),
    ],
)
def test_the_fastest_is_chosen_where_it_gains_enough(times, forced, chosen):
    assert choose.choose(times, forced=forced) == chosen


def test_an_engine_beyond_the_tolerance_is_refused_in_a_sentence():
    batches = probes.batches(8)
    expected = [np.tile(np.float32([1, 2]), (len(batch), 1)) for batch in batches]

    def model(batch):
        return np.tile(np.float32([1, 2.01]), (len(batch), 1))

    assert choose.verify(model, batches, expected, tolerance=0.006) == pytest.approx(0.005, rel=0.01)
    with pytest.raises(choose.Disagreement, match=r"differ by 0\.005 of the largest, and 0\.001 is allowed"):
        choose.verify(model, batches, expected, tolerance=0.001)
