"""Runs all tests, the cheap ones first: `make test`, which hands PYTEST_ARGS on to pytest.

Unit tests need a processor, those that start our programs wait half of their time and integration tests most of it, so
these run beside each other. The tests on the cluster have bounds of a few seconds that want a quiet machine: they come
afterwards, alone, and only when all others are well, so that a mistake which a unit test finds is told after minutes.
Ends with a line for each tier, what failed, and the sum as pytest would write it.
"""

import os
import queue
import re
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress

BESIDE = {
    "unit": "not integration and not e2e and not process",
    "process": "process and not integration and not e2e",
    "integration": "integration",
}
AFTERWARDS = {"e2e": "e2e"}
OK, NOTHING_CHOSEN = 0, 5
"""pytest's exit codes for tests that all passed, and for arguments that left no test of a tier."""

STOP_SECONDS = 120.0
"""For what pytest tears down when it is interrupted, which may be a cluster."""

CLOSING = re.compile(r"^(?:=+ )?(\d+ \w+.* in [\d.]+s(?: \(.*\))?|no tests ran in .*?)(?: =+)?$")
FAILED = re.compile(r"^(?:FAILED|ERROR) \S")
COLOUR = re.compile(r"\x1b\[[\d;]*m")
COUNTED = re.compile(r"(\d+) (passed|failed|errors?|skipped|xfailed|xpassed|warnings?)\b")


class Tier:
    """One run of pytest: its output is kept until it is shown."""

    def __init__(self, name: str, marker: str, arguments: Sequence[str]) -> None:
        self.name = name
        self._written = bytearray()
        self._chunks: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        colour = ["--color=yes"] if sys.stdout.isatty() else []
        # A cache of its own: of two runs that end at the same time one would forget what failed in the other.
        cache = ["-o", f"cache_dir=.pytest_cache/{name}"]
        command = [sys.executable, "-m", "pytest", *colour, *cache, *arguments, "-m", marker]
        # A process group of its own: a Ctrl-C comes to it once, by `stop`, and not in the middle of its answer to it.
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            process_group=0,
        )
        threading.Thread(target=self._read, daemon=True).start()

    def show(self) -> int:
        """Writes what it says, from its beginning and until it ends; returns its exit code."""
        while chunk := self._next():
            self._written += chunk
            sys.stdout.buffer.write(chunk)
            sys.stdout.buffer.flush()
        return self._process.wait()

    def stop(self) -> None:
        """Interrupts it, if it runs, so that it takes down what it has made."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGINT)
            try:
                self._process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self._process.kill()

    def closing(self) -> str:
        """The line that pytest ended with, without its frame; empty if it was killed before."""
        found = [match[1] for line in self._lines() if (match := CLOSING.match(line))]
        return found[-1] if found else ""

    def failed(self) -> list[str]:
        """A line for each test that did not pass."""
        return [line for line in self._lines() if FAILED.match(line)]

    def _lines(self) -> list[str]:
        return COLOUR.sub("", self._written.decode(errors="replace")).splitlines()

    def _next(self) -> bytes:
        """What it says next; empty once it has ended, even if something that it started keeps its output open."""
        while True:
            ended = self._process.poll() is not None
            with suppress(queue.Empty):
                return self._chunks.get(timeout=1)
            if ended:
                return b""

    def _read(self) -> None:
        assert self._process.stdout is not None  # noqa: S101 - a pipe was asked for
        while chunk := os.read(self._process.stdout.fileno(), 65536):
            self._chunks.put(chunk)
        self._chunks.put(b"")


def main(arguments: Sequence[str]) -> int:
    """Runs the tiers; returns 0 if there were tests and all passed."""
    if any(argument.startswith("-m") for argument in arguments):
        sys.stderr.write("-m is how the tiers are told apart: `make help` names a target for each\n")
        return 2
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    # Where a script has put this into the background SIGINT is ignored, in the tests too, which then never end by it.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    began = time.monotonic()
    codes: dict[str, int] = {}
    ended: list[Tier] = []
    for markers in (BESIDE, AFTERWARDS):
        if all(code in {OK, NOTHING_CHOSEN} for code in codes.values()):
            with running(markers, arguments) as tiers:
                codes |= {tier.name: tier.show() for tier in tiers}
                ended += tiers
    sys.stdout.write("\n".join(summary(ended, codes, seconds=time.monotonic() - began)) + "\n")
    bad = [code for code in codes.values() if code not in {OK, NOTHING_CHOSEN}]
    return max(bad, default=OK if OK in codes.values() else NOTHING_CHOSEN)


@contextmanager
def running(markers: dict[str, str], arguments: Sequence[str]) -> Iterator[list[Tier]]:
    """Tiers beside each other; whatever happens, none of them outlives the block."""
    tiers: list[Tier] = []
    try:
        for name, marker in markers.items():
            tiers.append(Tier(name, marker, arguments))
        yield tiers
    finally:
        for tier in tiers:
            tier.stop()


def summary(tiers: Sequence[Tier], codes: dict[str, int], *, seconds: float) -> list[str]:
    """What came of the tiers, in lines; the last one is the sum."""
    lines = [""]
    for tier in tiers:
        lines += [*tier.failed(), f"{tier.name:<12} {tier.closing() or f'ended with {codes[tier.name]}'}"]
    unseen = [name for name in (*BESIDE, *AFTERWARDS) if name not in codes]
    lines += [f"{name:<12} not run: what comes before it failed" for name in unseen]
    return [*lines, total([tier.closing() for tier in tiers], seconds=seconds)]


def total(closings: Sequence[str], *, seconds: float) -> str:
    """One closing line for all of them; what was deselected in one tier ran in another."""
    counts: Counter[str] = Counter()
    for closing in closings:
        for count, what in COUNTED.findall(closing):
            counts[what.rstrip("s") if what.startswith(("error", "warning")) else what] += int(count)
    order = ("failed", "passed", "skipped", "xfailed", "xpassed", "warning", "error")
    said = [
        f"{counts[what]} {what}{'s' if what in {'warning', 'error'} and counts[what] > 1 else ''}"
        for what in order
        if counts[what]
    ]
    minutes = time.strftime("%H:%M:%S", time.gmtime(seconds)).removeprefix("0")
    return f" {', '.join(said) or 'no tests ran'} in {seconds:.2f}s ({minutes}) ".center(80, "=")


if __name__ == "__main__":
    os.environ.setdefault("PYTHONUNBUFFERED", "1")
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit(130)
