"""Which engine is the fastest of those that answer as eager does."""

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from catfish_server.inference.engines import probes
from catfish_server.models.model import Images, Logits, Model
from catfish_server.variables import EAGER

logger = logging.getLogger(__name__)

ROUNDS = 4
"""Times that each model is timed on each batch; the least of them counts, for all else is noise of the machine."""

TIMED_SIZES = (1, 4)
"""Of the batches: what a lone request is, and what a loaded server makes."""

TIMING_SECONDS = 20.0
"""After which no further round begins, however slow the models are; the first always ends."""

WORTHWHILE = 0.95
"""Share of eager's time that an engine may take at most: less gained is not worth what loading it costs."""


class State(StrEnum):
    """What became of a candidate; a label of the metrics."""

    CHOSEN = "chosen"
    SLOWER = "slower"
    DISAGREES = "disagrees"
    FAILED = "failed"
    NO_ROOM = "no_room"


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What is known of one engine.

    Attributes:
        engine: its name.
        state: what became of it.
        milliseconds: of processor time that it takes an image, None where it was not timed.
        difference: of its logits from eager's, as a share of the largest; None where they were not compared.
        detail: what was wrong, for the log.
    """

    engine: str
    state: State
    milliseconds: float | None = None
    difference: float | None = None
    detail: str = ""

    def __str__(self) -> str:
        told = [f"{self.engine}: {self.state.value.replace('_', ' ')}"]
        if self.milliseconds is not None:
            told.append(f"{self.milliseconds:.1f} ms an image")
        if self.difference:
            told.append(f"differs by {self.difference:.1e}")
        if self.detail:
            told.append(self.detail)
        return ", ".join(told)


def verify(model: Model, batches: Sequence[Images], expected: Sequence[Logits], *, tolerance: float) -> float:
    """How far a model's answers are from the expected ones; see `probes.difference`.

    Raises:
        Disagreement: further than the tolerance.
    """
    difference = probes.difference([model(batch) for batch in batches], expected)
    if not difference <= tolerance:
        raise Disagreement(difference, tolerance)
    return difference


class Disagreement(Exception):
    """An engine answers otherwise than eager does.

    Attributes:
        difference: of the logits, as a share of the largest.
    """

    def __init__(self, difference: float, tolerance: float) -> None:
        super().__init__(
            f"its answers differ by {difference:.2g} of the largest, and {tolerance:g} is allowed"
        )
        self.difference = difference


def clock_of(device_type: str) -> Callable[[], float]:
    """What to time models with: the processor time of this thread, which busy neighbours do not lengthen.

    A device that computes by itself is waited for.
    """
    return time.thread_time if device_type == "cpu" else time.perf_counter


def milliseconds(
    models: Mapping[str, Model],
    *,
    image_size: int,
    clock: Callable[[], float] = time.thread_time,
    rounds: int = ROUNDS,
    sizes: Sequence[int] = TIMED_SIZES,
) -> dict[str, float]:
    """Time an image of each model, in milliseconds, over batches of a few sizes; the models take turns.

    Args:
        models: by name.
        image_size: height and width in pixels.
        clock: in seconds; see `clock_of`.
        rounds: see `ROUNDS`.
        sizes: see `TIMED_SIZES`.
    """
    batches = probes.batches(image_size, sizes=sizes)
    for model in models.values():
        for batch in batches:
            model(batch)  # the first time of a shape chooses kernels
    least = {name: np.full(len(batches), np.inf) for name in models}
    began = clock()
    for _ in range(rounds):
        for number, batch in enumerate(batches):
            for name, model in models.items():
                before = clock()
                model(batch)
                least[name][number] = min(least[name][number], clock() - before)
        if clock() - began > TIMING_SECONDS:
            break
    return {name: 1000 * float(seconds.sum()) / sum(sizes) for name, seconds in least.items()}


def choose(times: Mapping[str, float], *, forced: bool = False) -> str:
    """The engine to use: the fastest, or eager where none is worthwhile.

    Args:
        times: milliseconds an image of all that agree, eager among them.
        forced: the one beside eager is used whatever it gains, since the setting names it.
    """
    others = {name: time for name, time in times.items() if name != EAGER}
    if not others:
        return EAGER
    best = min(others, key=others.__getitem__)
    return best if forced or others[best] <= WORTHWHILE * times[EAGER] else EAGER
