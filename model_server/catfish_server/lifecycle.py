"""Where the server stands between its first second and its last, told to the probes.

Start-up and the web server write it, the admin listener reads it. It starts nothing and stops nothing.
"""

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType


class Stage(StrEnum):
    """What the process is doing; the values are those of docs/contract.md, in the order of a life."""

    FETCHING = "fetching"
    LOADING = "loading"
    WARMING = "warming"
    VERIFYING = "verifying"
    READY = "ready"
    DRAINING = "draining"


ORDER = {stage: position for position, stage in enumerate(Stage)}

STALL_LIMITS: Mapping[Stage, float] = MappingProxyType(
    {
        # Some stalls of 20 s with back-off between them are the fetch's own business; beyond it hangs.
        Stage.FETCHING: 180.0,
        # Nothing inside these can report: a large model on a throttled CPU needs minutes, not hours.
        Stage.LOADING: 600.0,
        Stage.WARMING: 600.0,
        Stage.VERIFYING: 600.0,  # for each image
        # Twice the longest request by default, and of any that is longer (`Lifecycle.watch`): an inference that takes
        # longer will not come back.
        Stage.READY: 60.0,
        Stage.DRAINING: 90.0,
    }
)
"""Seconds without a sign of life after which a stage counts as stuck and `/livez` turns 503."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Weights:
    """What is known of the file that the model is loaded from.

    Attributes:
        sha256: of the very bytes that are loaded, as hexadecimal digits.
        size: in bytes.
        format: a word of docs/server.md, "Weights".
        download_seconds: that it took to bring them here and to hash them.
    """

    sha256: str
    size: int
    format: str
    download_seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """How many of the golden images were answered right."""

    right: int
    total: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """The state at one moment.

    Attributes:
        done: units of work finished in this stage (bytes while fetching, images while verifying), 0 where none
            are counted.
        total: units of work there are, None when nobody knows.
        quiet_seconds: since the last sign of life.
        alive: False once `quiet_seconds` is beyond the stage's limit.
        weights: None until they are here.
        score: None until the golden images have been answered, and where there are none.
    """

    stage: Stage
    done: int
    total: int | None
    seconds_in_stage: float
    quiet_seconds: float
    alive: bool
    weights: Weights | None
    score: Score | None

    @property
    def ready(self) -> bool:
        """Whether a request would be answered right."""
        return self.stage is Stage.READY


class Lifecycle:
    """The stage, its progress and the last sign of life; safe to use from every thread.

    Args:
        clock: a monotonic clock in seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._stage = Stage.FETCHING
        self._done = 0
        self._total: int | None = None
        self._entered = self._last_sign = clock()
        self._quiet_seconds_of_engine: Callable[[], float] | None = None
        self._ready_limit = STALL_LIMITS[Stage.READY]
        self._weights: Weights | None = None
        self._score: Score | None = None

    def enter(self, stage: Stage) -> None:
        """Moves on to a stage.

        Raises:
            ValueError: the stage is an earlier one; a life goes forward only.
        """
        with self._lock:
            if ORDER[stage] < ORDER[self._stage]:
                raise ValueError(f"cannot go back from {self._stage} to {stage}")
            if stage is not self._stage:
                self._stage, self._done, self._total = stage, 0, None
                self._entered = self._clock()
            self._last_sign = self._clock()

    def progress(self, done: int, total: int | None = None) -> None:
        """Notes how far the stage is, which is a sign of life too."""
        with self._lock:
            self._done, self._total = done, total
            self._last_sign = self._clock()

    def fetched(self, weights: Weights) -> None:
        """Notes which bytes the model is loaded from."""
        with self._lock:
            self._weights = weights

    def verified(self, score: Score) -> None:
        """Notes how the golden images were answered."""
        with self._lock:
            self._score = score

    def watch(self, quiet_seconds: Callable[[], float], *, longest_seconds: float = 0.0) -> None:
        """Takes the signs of life of the ready stage from the engine.

        Args:
            quiet_seconds: how long the slowest inference thread has been busy with one piece of work.
            longest_seconds: that a request may take.
        """
        with self._lock:
            self._ready_limit = max(STALL_LIMITS[Stage.READY], 2 * longest_seconds)
            self._quiet_seconds_of_engine = quiet_seconds

    def snapshot(self) -> Snapshot:
        """The state now."""
        with self._lock:
            now = self._clock()
            quiet, limit = now - self._last_sign, STALL_LIMITS[self._stage]
            if self._stage is Stage.READY:
                limit = self._ready_limit
                quiet = self._quiet_seconds_of_engine() if self._quiet_seconds_of_engine else 0.0
            return Snapshot(
                stage=self._stage,
                done=self._done,
                total=self._total,
                seconds_in_stage=now - self._entered,
                quiet_seconds=quiet,
                alive=quiet <= limit,
                weights=self._weights,
                score=self._score,
            )
