"""The real model server with one fault in it, chosen by the variable FAULT: `name` or `name:seconds`.

The server runs in this very process, started as its own image starts it. A fault is put in below the point
where requests are counted, so that /metrics tells of it as of a real one.
"""

import os
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

MARK = Path("/tmp/faulty-has-exited")
FOREVER = 10**6
CHUNK_BYTES = 16 * 1024 * 1024
EXIT_CODE = 3

Fault = Callable[[float], None]


def crash_at_start(_seconds: float) -> NoReturn:
    """Ends before anything listens."""
    _leave("crashes at its start")


def out_of_memory(_seconds: float) -> None:
    """Takes memory until the kernel ends the process."""
    held = []
    while True:
        held.append(b"x" * CHUNK_BYTES)


def slow_start(seconds: float) -> None:
    """Waits before it loads the weights."""
    _at("loading", lambda: time.sleep(seconds))


def never_ready(_seconds: float) -> None:
    """Hangs while it warms up; its probes go on answering."""
    _at("warming", lambda: time.sleep(FOREVER))


def crash_after_ready(seconds: float) -> None:
    """Ends each time it has been ready for so long."""
    _at("ready", lambda: _later(seconds, lambda: _leave("crashes after it was ready")))


def exit_once_after_ready(seconds: float) -> None:
    """Ends the first time that it has been ready for so long, and never again in this pod."""
    if not MARK.exists():
        _at("ready", lambda: _later(seconds, lambda: (MARK.touch(), _leave("exits once"))))


def ready_then_5xx(seconds: float) -> None:
    """Answers every prediction with 500 from so long after it was ready."""
    _at("ready", lambda: _later(seconds, _fail_predictions))


FAULTS: dict[str, Fault] = {
    "": lambda _seconds: None,
    "crash-at-start": crash_at_start,
    "out-of-memory": out_of_memory,
    "slow-start": slow_start,
    "never-ready": never_ready,
    "crash-after-ready": crash_after_ready,
    "exit-once-after-ready": exit_once_after_ready,
    "ready-then-5xx": ready_then_5xx,
}


def parse(text: str) -> tuple[str, float]:
    """The fault's name and its seconds, 0 where none are given.

    Raises:
        ValueError: there is no such fault, or the seconds are no number.
    """
    name, _, seconds = text.partition(":")
    if name not in FAULTS:
        raise ValueError(f"FAULT is {text!r}; there are {', '.join(filter(None, FAULTS))}")
    return name, float(seconds or 0)


def main() -> None:
    """Puts the fault in and runs the server."""
    name, seconds = parse(os.environ.get("FAULT", ""))
    FAULTS[name](seconds)
    from catfish_server.__main__ import main as serve

    serve()


def _at(stage: str, act: Callable[[], object]) -> None:
    """Acts as soon as the server has entered a stage, in the thread that entered it."""
    from catfish_server.lifecycle import Lifecycle

    enter: Any = Lifecycle.enter

    def entered(self: Lifecycle, now: Any) -> None:
        enter(self, now)
        if now.value == stage:
            act()

    Lifecycle.enter = entered  # type: ignore[method-assign]  # this is the fault


def _later(seconds: float, act: Callable[[], object]) -> None:
    timer = threading.Timer(seconds, act)
    timer.daemon = True
    timer.start()


def _fail_predictions() -> None:
    from catfish_server.inference.classifier import Classifier

    def predict(*_: object, **__: object) -> NoReturn:
        raise RuntimeError("this image is faulty")

    Classifier.predict_all = predict  # type: ignore[method-assign]  # this is the fault


def _leave(why: str) -> NoReturn:
    print(f"faulty image: {why}", file=sys.stderr, flush=True)  # noqa: T201 - the container's log
    os._exit(EXIT_CODE)


if __name__ == "__main__":
    main()
