"""The process in which pickles are read: forked early, held to limits, thrown away after one file.

It is forked before this process has threads (a fork copies only the thread that calls it, and the locks that
the others hold stay locked for ever), which is before the probes are answered and so before torch is
imported. The child imports torch by itself, at low priority, while this process does the same and fetches.
Until it is needed it waits at a pipe; it ends when the pipe does.
"""

import contextlib
import gc
import json
import multiprocessing.connection
import os
import resource
import signal
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from catfish_server import errors
from catfish_server.errors import StartupFailure, UnsafeWeights
from catfish_server.weights import exhausted

MIB = 1024 * 1024
MEMORY_FACTOR = 3
MEMORY_SLACK = 256 * MIB
"""Address space on top of what the process has: the mapped file, its copy, the output, and room to work
in."""

WRITTEN_FACTOR = 2
"""The output is at most this many times the file; unpickle.py refuses to write more before it tries."""

CPU_SECONDS = 20
CPU_SECONDS_PER_GIB = 10
WALL_SECONDS = 590.0
"""A little less than the probe allows for loading, so that the reason is told before the probe fails."""

NICE = 5
"""Getting ready must not slow down this process, which has the longer way to go."""

VERDICTS: Mapping[str, type[StartupFailure]] = {
    failure.reason: failure
    for failure in (
        errors.UnsupportedFormat,
        errors.PickledModel,
        errors.DamagedWeights,
        errors.UnsafeWeights,
        errors.NonFiniteWeights,
    )
}
"""What the child may say of a file."""


class Sandbox:
    """A child process that converts one file of `torch.save` to safetensors.

    Args:
        likely: whether it will be needed, so that it gets ready at once and not when it is asked.
    """

    def __init__(self, *, likely: bool = True) -> None:
        self._pipe, theirs = multiprocessing.connection.Pipe()
        self._pid = os.fork()
        if self._pid == 0:
            self._pipe.close()
            _serve(theirs, likely=likely)
        theirs.close()

    def convert(self, source: Path, target: Path, *, heartbeat: Callable[[], None]) -> None:
        """Converts the file; can be called once.

        Args:
            source: a file of `torch.save`.
            target: the safetensors file to write.
            heartbeat: called every second while the child works.

        Raises:
            UnsupportedFormat: the file does not hold weights; the text completes "the file …".
            PickledModel: it holds a module.
            DamagedWeights: it is cut short or damaged.
            UnsafeWeights: the file asked for more than weights need.
            OutOfMemory: the pod has less.
            OSError: the file cannot be read, or there is no room for the other one.
        """
        try:
            self._pipe.send_bytes(json.dumps([os.fspath(source), os.fspath(target)]).encode())
        except OSError:  # it was killed while it imported torch
            raise _death(self._reap()) from None
        deadline = time.monotonic() + WALL_SECONDS
        while not self._pipe.poll(1.0):
            heartbeat()
            if time.monotonic() > deadline:
                self.close()
                raise UnsafeWeights(f"took more than {WALL_SECONDS:.0f} seconds to load")
        try:
            reply = json.loads(self._pipe.recv_bytes(maxlength=65536))
        except (EOFError, OSError):
            raise _death(self._reap()) from None
        self.close()
        if reply is None:
            return
        if "errno" in reply:
            raise OSError(reply["errno"], str(reply["text"]))
        raise VERDICTS[reply["reason"]](str(reply["text"])[:600])

    def close(self) -> None:
        """Ends the child, whatever it is doing."""
        if self._pid:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._pid, signal.SIGKILL)
            self._reap()
        self._pipe.close()

    def _reap(self) -> int:
        """Waits for the child's end; its wait status."""
        pid, self._pid = self._pid, 0
        return os.waitpid(pid, 0)[1] if pid else 0


def _death(status: int) -> StartupFailure:
    """What the end of a child without a word means."""
    if os.WIFSIGNALED(status):
        killer = os.WTERMSIG(status)
        if killer == signal.SIGXCPU:
            return UnsafeWeights("took more processor time to load than weights need")
        if killer == signal.SIGKILL:  # by the kernel, where its own limits allow more than the pod's
            return exhausted.of_pod()
        return UnsafeWeights(f"ended the process that loaded it ({signal.Signals(killer).name})")
    return UnsafeWeights(f"ended the process that loaded it (exit code {os.waitstatus_to_exitcode(status)})")


def _serve(pipe: "multiprocessing.connection.Connection[bytes, bytes]", *, likely: bool) -> None:
    """The whole life of the child; never returns."""
    try:
        # The parent's handlers would run the parent's shutdown here.
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, signal.SIG_DFL)
        os.nice(NICE)
        if not likely:
            pipe.poll(None)
        from catfish_server.weights import unpickle  # noqa: PLC0415 (imports torch, which only the child may do)

        source, target = (Path(name) for name in json.loads(pipe.recv_bytes()))
        _limit(source.stat().st_size)
        gc.disable()  # weights have no cycles, and looking for some takes as long as the reading
        pipe.send_bytes(json.dumps(_verdict(unpickle.convert, source, target)).encode())
    except BaseException:  # noqa: BLE001 (nothing may get from here into the parent's code)
        os._exit(1)
    os._exit(0)


def _verdict(
    convert: Callable[[Path, Path], None], source: Path, target: Path
) -> dict[str, str | int] | None:
    """None when the file is converted, else why it is not."""
    try:
        convert(source, target)
    except StartupFailure as failure:
        return {"reason": failure.reason, "text": str(failure)}
    except Exception as error:
        if exhausted.is_memory(error):  # by the limits of this process, and not by the pod's
            return {"reason": UnsafeWeights.reason, "text": "asked for more memory than weights need"}
        if isinstance(error, OSError):
            return {"errno": error.errno or 0, "text": error.strerror or "I/O error"}
        raise
    return None


def _limit(size: int) -> None:
    """Takes from this process what loading a file of this size does not need."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    spent = int(usage.ru_utime + usage.ru_stime)  # importing torch
    seconds = spent + CPU_SECONDS + CPU_SECONDS_PER_GIB * size // (1024 * MIB)
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + 1))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    written = WRITTEN_FACTOR * size + MEMORY_SLACK
    resource.setrlimit(resource.RLIMIT_FSIZE, (written, written))
    status = Path("/proc/self/status")
    if (
        status.exists()
    ):  # without it nobody knows what the process has already, and a fixed limit stops torch itself
        used = int(status.read_text().split("VmSize:")[1].split()[0]) * 1024
        space = used + MEMORY_FACTOR * size + MEMORY_SLACK
        resource.setrlimit(resource.RLIMIT_AS, (space, space))
