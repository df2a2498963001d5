"""Progress on the terminal: one line for each step, with a tick and the seconds it took.

A line is one write, so that lines of two commands in one log stay whole: `print` makes two of it where Python does
not buffer.
"""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TextIO


@dataclass(slots=True, kw_only=True)
class Progress:
    """Writes steps to a stream; on a terminal a running step is shown before it has ended."""

    stream: TextIO = field(default_factory=lambda: sys.stdout)
    width: int = 24
    running: str = ""

    @contextmanager
    def step(self, title: str) -> Iterator[None]:
        """Times what happens inside; an exception marks the step as failed and travels on."""
        self.running = f"..   {title}"
        self._write(self._shown())
        start = time.monotonic()
        mark = "FAIL"
        try:
            yield
            mark = "ok"
        finally:
            spent = time.monotonic() - start
            clear, self.running = self._clear(), ""
            self._write(f"{clear}{mark:<4} {title:<{self.width}} {spent:6.1f} s\n")

    def say(self, line: str) -> None:
        """A line between the steps, or above the one that runs."""
        self._write(f"{self._clear()}{line}\n{self._shown()}")

    def _shown(self) -> str:
        """The step that runs, on a terminal; a log gets it when it has ended."""
        return self.running if self.stream.isatty() else ""

    def _clear(self) -> str:
        return "\r\x1b[K" if self._shown() else ""

    def _write(self, text: str) -> None:
        if text:
            self.stream.write(text)
            self.stream.flush()


def say(line: str) -> None:
    """A line on standard output."""
    Progress().say(line)
