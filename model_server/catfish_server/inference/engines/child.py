"""Runs a `trial` in a child process, and ends it when the server leaves or memory runs out."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Self

import torch
from torch import nn

from catfish_server import cpus
from catfish_server.inference.engines import memory, trial
from catfish_server.inference.engines.candidates import MIB
from catfish_server.inference.engines.choose import Outcome
from catfish_server.inference.engines.trial import Job

LEAST_ROOM = 64 * MIB
"""Below it the child is ended, before the kernel ends somebody."""

SHARE_OF_QUOTA = 0.25
"""Of the time that the child runs where a quota limits the container. Priorities do not count there: what the child
takes while nobody asks is missing for the request that comes in the same 100 ms."""

_TURN_SECONDS = 0.2
_QUOTA_TURN_SECONDS = 0.1
_STDERR_BYTES = 4096


class TrialFailed(Exception):
    """A trial ended without a result; the text says why.

    Attributes:
        engine: that it was building, `trial` where it had not begun to.
        lasting: whether it would end alike another time.
    """

    def __init__(self, detail: str, *, engine: str, lasting: bool) -> None:
        super().__init__(detail)
        self.engine = engine
        self.lasting = lasting


class Child:
    """One trial; a context manager that ends the process and removes its directory.

    Args:
        parent: a directory that only this user can write to.
        job: what to do.
        module: the eager model.
        limited: whether a quota limits the container.
        room: bytes of memory that are left.
    """

    def __init__(
        self,
        parent: Path,
        job: Job,
        module: nn.Module,
        *,
        limited: bool | None = None,
        room: Callable[[], float] = memory.room,
    ) -> None:
        self.directory = parent / "trial"
        self._job = job
        self._module = module
        self._limited = cpus.limited() if limited is None else limited
        self._room = room
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        shutil.rmtree(self.directory, ignore_errors=True)  # what a process left that was killed
        self.directory.mkdir(mode=0o700)
        try:
            (self.directory / trial.JOB).write_text(json.dumps(asdict(self._job)))
            state = {key: tensor.cpu() for key, tensor in self._module.state_dict().items()}
            torch.save(state, self.directory / trial.WEIGHTS)
        except (OSError, RuntimeError) as error:  # torch has no other word for a full disk
            shutil.rmtree(self.directory, ignore_errors=True)
            what = (str(error).splitlines() or [type(error).__name__])[0]
            raise self._failure(f"the weights cannot be written: {what}", lasting=False) from error
        with (self.directory / "stderr").open("wb") as stderr:
            self._process = subprocess.Popen(
                [sys.executable, "-m", trial.__name__, str(self.directory)],
                stdin=subprocess.PIPE,  # closed when this process ends, whichever way
                stdout=subprocess.DEVNULL,
                stderr=stderr,
                env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            )
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
        shutil.rmtree(self.directory, ignore_errors=True)

    def outcomes(self, *, leaving: Callable[[], bool]) -> list[Outcome] | None:
        """What became of each engine; waits for it.

        Args:
            leaving: whether the server is about to end.

        Returns:
            None where the server leaves.

        Raises:
            TrialFailed: there is no result.
        """
        process = self._process
        assert process is not None, "outcomes of a child that was not entered"  # noqa: S101
        while process.poll() is None:
            if leaving():
                return None
            if self._room() < LEAST_ROOM:
                raise self._failure("memory is running out", lasting=False)
            self._turn(process)
        if process.returncode:
            raise self._failure(
                self._reason(process.returncode), lasting=process.returncode != -signal.SIGKILL
            )
        return trial.outcomes(self.directory)

    def _turn(self, process: subprocess.Popen[bytes]) -> None:
        """Waits a little; lets the child run for its share of the time."""
        if not self._limited:
            _wait(process, _TURN_SECONDS)
            return
        process.send_signal(signal.SIGCONT)
        _wait(process, _QUOTA_TURN_SECONDS * SHARE_OF_QUOTA)
        process.send_signal(signal.SIGSTOP)
        time.sleep(_QUOTA_TURN_SECONDS * (1 - SHARE_OF_QUOTA))

    def _failure(self, detail: str, *, lasting: bool) -> TrialFailed:
        try:
            engine = (self.directory / trial.TRYING).read_text()
        except OSError:
            engine = "trial"
        return TrialFailed(detail, engine=engine, lasting=lasting)

    def _reason(self, code: int) -> str:
        if code == -signal.SIGXCPU:
            return f"it took more than {self._job.cpu_seconds} s of processor time"
        if code < 0:
            return f"it was ended by {signal.Signals(-code).name}"
        with (self.directory / "stderr").open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - _STDERR_BYTES))
            lines = file.read().decode(errors="replace").strip().splitlines()
        return lines[-1][: trial.DETAIL] if lines else f"it ended with {code}"


def _wait(process: subprocess.Popen[bytes], seconds: float) -> None:
    with suppress(subprocess.TimeoutExpired):
        process.wait(seconds)
