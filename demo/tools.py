"""Runs the repository's own commands with their output in a log file, and says readably when one fails."""

import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from demo.kube import ROOT
from demo.report import DemoFailure, Report
from localcluster import build

TELL_FIRST, TELL_EVERY = 5.0, 30.0
"""Seconds until a command that says nothing is told of, and from then on."""
STOP_SECONDS = 30.0
"""What a command that is told to stop has to put things back."""


def cache() -> Path:
    """Where everything downloaded or built is kept."""
    return build.cache()


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """A command under way, and where its output goes."""

    words: tuple[str, ...]
    process: subprocess.Popen[bytes]
    log: Path

    def wait(self, report: Report) -> str:
        """Its output, once it ended well. The last line of the log is shown from time to time meanwhile.

        Raises:
            DemoFailure: it ended badly.
        """
        tell_at = time.monotonic() + TELL_FIRST
        try:
            while self.process.poll() is None:
                time.sleep(0.1)
                if time.monotonic() > tell_at:
                    tell_at = time.monotonic() + TELL_EVERY
                    report.detail(self._last_line())
        finally:
            self.stop()
        if self.process.returncode != 0:
            tail = " / ".join(self.log.read_text(errors="replace").strip().splitlines()[-3:])
            raise DemoFailure(
                f"`{' '.join(self.words)}` ended with {self.process.returncode}: {tail}",
                look=f"less {self.log}",
            )
        return self.log.read_text(errors="replace")

    def stop(self) -> None:
        """End it, if it still runs."""
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()

    def _last_line(self) -> str:
        lines = [
            line
            for line in self.log.read_text(errors="replace").replace("\r", "\n").splitlines()
            if line.strip()
        ]
        return lines[-1][:110] if lines else "…"


def start(*words: str, name: str, environment: Mapping[str, str] | None = None) -> Running:
    """Start a command in the repository's root."""
    logs = cache() / "demo" / "logs"
    logs.mkdir(parents=True, exist_ok=True)
    log = logs / f"{name}.log"
    log.write_bytes(b"")
    with log.open(
        "ab"
    ) as stream:  # at its end, wherever that is: a second demo would write over the first one's
        process = subprocess.Popen(
            words,
            cwd=ROOT,
            # Python keeps what it writes to a file until it is much, and its last line is what is shown.
            env=os.environ | {"PYTHONUNBUFFERED": "1"} | dict(environment or {}),
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=subprocess.STDOUT,
        )
    return Running(words=words, process=process, log=log)


def localcluster(*arguments: str, name: str) -> Running:
    """Start `python3 -m localcluster ARGUMENTS`."""
    return start(sys.executable, "-m", "localcluster", *arguments, name=name)


def answer(*arguments: str) -> str | None:
    """What `python3 -m localcluster ARGUMENTS` writes to stdout; None if it failed."""
    words: Sequence[str] = [sys.executable, "-m", "localcluster", *arguments]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False, timeout=60)
    return done.stdout.strip() if done.returncode == 0 else None
