"""The thread that finds the fastest engine once the server is ready, and puts it in the place of eager torch.

Nothing that it does can end the server or make it unready: whatever fails is logged in one line and counted, and
eager goes on answering. The work is done by a child process (`trial`); this thread waits, loads and verifies.

The thread itself keeps its usual priority: it holds the GIL now and then, and one that is not scheduled while it
holds the GIL would stop every request.
"""

import fcntl
import logging
import threading
import time
import weakref
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import torch
from torch import nn

from catfish_server.errors import StartupFailure
from catfish_server.inference.engines import candidates, choose, memory, probes, shelf
from catfish_server.inference.engines.candidates import BY_NAME, Candidate
from catfish_server.inference.engines.child import Child, TrialFailed
from catfish_server.inference.engines.choose import Outcome, State
from catfish_server.inference.engines.shelf import Entry, Shelf
from catfish_server.inference.engines.trial import Job
from catfish_server.lifecycle import Lifecycle, Stage
from catfish_server.models.model import Logits, Model
from catfish_server.variables import AUTO, EAGER

logger = logging.getLogger(__name__)

TINY_MILLISECONDS = 3.0
"""Of processor time an image: below it the model is not what a request costs, and trying is not worth its time."""

CPU_SECONDS = 120
"""Of processor time that a trial may take in all; a ResNet-50 takes about 25."""

_TURN_SECONDS = 0.2
_RELEASE_SECONDS = 10.0
_CLOSE_SECONDS = 5.0


class Replace(Protocol):
    """Puts a model in the place of the one that answers; no request notices."""

    def __call__(self, model: Model, *, engine: str) -> None: ...  # noqa: D102


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """The model as eager torch runs it.

    Attributes:
        model: what answers now.
        module: what it runs, on its device.
        place: the device.
        sha256: of the weights.
        architecture: of the registry.
        classes: one for each output.
        image_size: height and width in pixels.
    """

    model: Model
    module: nn.Module
    place: torch.device
    sha256: str
    architecture: str
    classes: tuple[str, ...]
    image_size: int


class Background:
    """Finds the engine of one model; does nothing before `start`.

    Args:
        source: what answers now; forgotten once another answers.
        replace: puts another in its place.
        lifecycle: tells when the server is ready, and when it drains.
        directory: that only this user can write to, for what is kept.
        engine: `CATFISH_ENGINE`.
        delay_seconds: to wait once the server is ready.
        count: told of each engine and what became of it, `choose.State`.
        cpu_seconds: see `CPU_SECONDS`.
    """

    def __init__(
        self,
        source: Source,
        *,
        replace: Replace,
        lifecycle: Lifecycle,
        directory: Path,
        engine: str,
        delay_seconds: float,
        count: Callable[[str, str], None] = lambda _engine, _state: None,
        cpu_seconds: int = CPU_SECONDS,
        tiny_milliseconds: float = TINY_MILLISECONDS,
    ) -> None:
        self._source: Source | None = source
        self._replace = replace
        self._lifecycle = lifecycle
        self._directory = directory
        self._engine = engine
        self._delay_seconds = delay_seconds
        self._count = count
        self._cpu_seconds = cpu_seconds
        self._tiny_milliseconds = tiny_milliseconds
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._run, name="engines", daemon=True)

    def start(self) -> "Background":
        """Begins to wait until the server is ready."""
        self._thread.start()
        return self

    def close(self) -> None:
        """Ends the child and the thread; does not wait for a pass through a large model."""
        self._closed.set()
        if self._thread.is_alive():
            self._thread.join(_CLOSE_SECONDS)

    def join(self, timeout_seconds: float) -> bool:
        """Whether the thread has ended by itself within this time."""
        self._thread.join(timeout_seconds)
        return not self._thread.is_alive()

    def _run(self) -> None:
        try:
            module = self._search()
        except (OSError, StartupFailure) as error:
            logger.warning("No other engine than eager is tried: %s", error)
        except Exception:  # eager is there
            logger.exception("No other engine than eager is tried")
        else:
            if module is not None:
                self._release(module)

    def _search(self) -> "weakref.ref[nn.Module] | None":
        """Waits and finds; the eager module where another engine answers now."""
        source, self._source = self._source, None
        if source is None or not self._wait_until_due() or not self._find(source):
            return None
        return weakref.ref(source.module)

    def _leaving(self) -> bool:
        return self._closed.is_set() or self._lifecycle.snapshot().stage is Stage.DRAINING

    def _wait_until_due(self) -> bool:
        """Whether the server is ready and not already on its way out."""
        due = None
        while not self._leaving():
            now = time.monotonic()
            if due is None and self._lifecycle.snapshot().ready:
                due = now + self._delay_seconds
            if due is not None and now >= due:
                return True
            self._closed.wait(_TURN_SECONDS if due is None else min(_TURN_SECONDS, due - now))
        return False

    def _find(self, source: Source) -> bool:
        """Whether another engine answers now."""
        tried = candidates.on(source.place, engine=self._engine)
        if not tried:
            logger.warning("%s does not run on %s; eager stays.", self._engine, source.place)
            return False
        if self._engine == AUTO and self._tiny(source):
            return False
        kept = Shelf(self._directory)
        with ExitStack() as stack:
            lock = stack.enter_context((self._directory / "lock").open("w"))
            if not self._locked(lock.fileno()):
                return False
            name = self._key(source)
            if (entry := kept.find(name)) is None:
                entry = self._try(source, tried, kept, name)
            elif entry.model is not None and not self._fitting(source, (BY_NAME[entry.engine],)):
                return False  # it may have been built in a larger pod; the next one may be as large again
            if entry is None or entry.model is None:
                return False
            swapped = self._swap(source, entry.engine, entry.model, entry.expected)
            if not swapped and not self._leaving():
                kept.keep(name, engine=EAGER)  # or every start would load it to throw it away
            return swapped

    def _tiny(self, source: Source) -> bool:
        measured = choose.milliseconds(
            {EAGER: source.model},
            image_size=source.image_size,
            clock=choose.clock_of(source.place.type),
            rounds=2,
            sizes=(1,),
        )
        if measured[EAGER] >= self._tiny_milliseconds:
            return False
        logger.info("Eager takes %.1f ms an image: no other engine is worth trying.", measured[EAGER])
        return True

    def _locked(self, descriptor: int) -> bool:
        """Waits for another server that tries with the same directory; what it finds may be what is looked for."""
        while not self._leaving():
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                self._closed.wait(_TURN_SECONDS)
            else:
                return True
        return False

    def _key(self, source: Source) -> str:
        cuda = source.place.type == "cuda"
        return shelf.key(
            weights=source.sha256,
            architecture=source.architecture,
            classes=len(source.classes),
            image_size=source.image_size,
            device=torch.cuda.get_device_name(source.place) if cuda else "cpu",
            engine=self._engine,
        )

    def _try(self, source: Source, tried: tuple[Candidate, ...], kept: Shelf, name: str) -> Entry | None:
        """Has the engines tried and keeps what was chosen; None where nothing was, or the server leaves."""
        fitting = self._fitting(source, tried)
        if not fitting:
            return None
        job = Job(
            architecture=source.architecture,
            classes=source.classes,
            image_size=source.image_size,
            device=str(source.place),
            engines=tuple(candidate.name for candidate in fitting),
            forced=self._engine != AUTO,
            cpu_seconds=self._cpu_seconds,
        )
        try:
            with Child(self._directory, job, source.module) as child:
                outcomes = child.outcomes(leaving=self._leaving)
                if outcomes is None:
                    return None
                for outcome in outcomes:
                    self._tell(outcome)
                (chosen,) = (outcome.engine for outcome in outcomes if outcome.state is State.CHOSEN)
                kept.keep(name, engine=chosen, work=None if chosen == EAGER else child.directory)
        except TrialFailed as failure:
            self._tell(Outcome(engine=failure.engine, state=State.FAILED, detail=str(failure)))
            if failure.lasting:
                kept.keep(name, engine=EAGER)
            return None
        return kept.find(name)

    def _fitting(self, source: Source, tried: tuple[Candidate, ...]) -> list[Candidate]:
        weights = sum(tensor.nbytes for tensor in source.module.state_dict().values())
        room = memory.room()
        fitting = []
        for candidate in tried:
            needs = candidate.needs(weights)
            if needs <= room:
                fitting.append(candidate)
                continue
            detail = f"it takes {needs / candidates.MIB:.0f} MiB, and {room / candidates.MIB:.0f} are left"
            self._tell(Outcome(engine=candidate.name, state=State.NO_ROOM, detail=detail))
        return fitting

    def _swap(self, source: Source, engine: str, path: Path, expected: Sequence[Logits]) -> bool:
        """Loads an engine, verifies the very thing that is to answer, and lets it answer."""
        try:
            model = BY_NAME[engine].load(path, source.place)
            batches = probes.batches(source.image_size)
            for _ in range(2):  # what is chosen on the first pass answers the second
                choose.verify(model, batches, expected, tolerance=probes.TOLERANCE[source.place.type])
        except Exception as error:  # noqa: BLE001 (eager is there)
            state = State.DISAGREES if isinstance(error, choose.Disagreement) else State.FAILED
            self._tell(Outcome(engine=engine, state=state, detail=str(error)))
            return False
        if self._leaving():
            return False
        self._replace(model, engine=engine)
        logger.info("The model runs on %s from now on.", engine)
        return True

    def _tell(self, outcome: Outcome) -> None:
        bad = outcome.state in {State.DISAGREES, State.FAILED, State.NO_ROOM}
        logger.log(logging.WARNING if bad else logging.INFO, "Engine %s", outcome)
        self._count(outcome.engine, outcome.state.value)

    def _release(self, module: "weakref.ref[nn.Module]") -> None:
        """Gives back the memory of what answers no more, once the last pass through it has ended."""
        until = time.monotonic() + _RELEASE_SECONDS
        while module() is not None and time.monotonic() < until and not self._leaving():
            self._closed.wait(_TURN_SECONDS)
        memory.give_back()
