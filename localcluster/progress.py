"""Progress on the terminal: one line for each step, with a tick and the seconds it took."""

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

    @contextmanager
    def step(self, title: str) -> Iterator[None]:
        """Times what happens inside; an exception marks the step as failed and travels on."""
        live = self.stream.isatty()
        if live:
            self.stream.write(f"..   {title}")
            self.stream.flush()
        start = time.monotonic()
        mark = "FAIL"
        try:
            yield
            mark = "ok"
        finally:
            spent = time.monotonic() - start
            self.stream.write(
                ("\r\x1b[K" if live else "") + f"{mark:<4} {title:<{self.width}} {spent:6.1f} s\n"
            )
            self.stream.flush()

    def say(self, line: str) -> None:
        """A line between the steps."""
        self.stream.write(line + "\n")
        self.stream.flush()
