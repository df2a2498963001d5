"""What the demo shows: a line for each step with a tick, what it takes and what came of it."""

import sys
import textwrap
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TextIO

TICK, CROSS = "✔", "✘"
GREEN, RED, DIM, BOLD, PLAIN = "\x1b[32m", "\x1b[31m", "\x1b[2m", "\x1b[1m", "\x1b[0m"


class DemoFailure(Exception):
    """A step did not come to its end: a paragraph for the person there, and a command to look further."""

    def __init__(self, message: str, *, look: str = "") -> None:
        super().__init__(message)
        self.look = look


@dataclass(slots=True)
class Step:
    """A step under way; `outcome` is written behind its tick."""

    title: str
    outcome: str = ""


@dataclass(slots=True, kw_only=True)
class Report:
    """Writes to a terminal in colour and to a log without."""

    stream: TextIO = field(default_factory=lambda: sys.stdout)
    started: float = field(default_factory=time.monotonic)

    @contextmanager
    def step(self, title: str) -> Iterator[Step]:
        """Times what happens inside; an exception marks the step as failed and travels on."""
        began = time.monotonic()
        running = Step(title)
        if self.stream.isatty():
            self._write(f"{DIM}… {title}{PLAIN}", end="")
        mark, colour = CROSS, RED
        try:
            yield running
            mark, colour = TICK, GREEN
        finally:
            clear = "\r\x1b[K" if self.stream.isatty() else ""
            line = f"{clear}{self._painted(mark, colour)} {title:<46} {time.monotonic() - began:6.1f} s"
            self._write(f"{line}  {running.outcome}".rstrip())

    def detail(self, text: str) -> None:
        """Lines below or within a step, indented."""
        clear = "\r\x1b[K" if self.stream.isatty() else ""
        for line in text.rstrip().splitlines():
            self._write(f"{clear}{self._painted('    ' + line, DIM)}")
            clear = ""

    def heading(self, text: str) -> None:
        """A line in bold with room above."""
        self._write(f"\n{self._painted(text, BOLD)}")

    def failure(self, error: DemoFailure) -> None:
        """The paragraph that ends a demo that failed."""
        self._write("")
        self._write(textwrap.fill(str(error), width=100))
        if error.look:
            self._write(f"To look further: {error.look}")

    def _painted(self, text: str, colour: str) -> str:
        return f"{colour}{text}{PLAIN}" if self.stream.isatty() else text

    def _write(self, text: str, end: str = "\n") -> None:
        self.stream.write(text + end)
        self.stream.flush()
