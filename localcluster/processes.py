"""Daemons that outlive the command that started them, and are stopped by process id.

A pid file holds the process's start time beside its id: ids are used again, and a stranger must never get our
signal.
"""

import json
import os
import select
import signal
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from localcluster import addresses, direct
from localcluster.errors import LocalClusterError


@dataclass(frozen=True, slots=True, kw_only=True)
class Daemon:
    """A program that runs in the background until it is stopped.

    Attributes:
        name: names the files `<name>.pid` and `<name>.log`.
        argv: the program, found on PATH, and its arguments.
        directory: where the files lie; made when it is missing.
        netns: the network namespace to run in (a name in /run/netns); None is ours.
        env: variables beside those that we run with.
    """

    name: str
    argv: tuple[str, ...]
    directory: Path
    netns: str | None = None
    env: Mapping[str, str] | None = None

    @property
    def log(self) -> Path:
        """What the program has written since its last start; the run before is in `<name>.log.1`."""
        return self.directory / f"{self.name}.log"

    @property
    def pid(self) -> int | None:
        """The id of the running process; None when it does not run."""
        with self._opened() as found:
            return found[0] if found else None

    def alive(self) -> bool:
        """Whether the process that `start` made still runs."""
        return self.pid is not None

    def start(self) -> None:
        """Starts the program if it does not run.

        Raises:
            LocalClusterError: the program cannot be executed.
        """
        if self.alive():
            return
        self.directory.mkdir(parents=True, exist_ok=True)
        if self.log.exists():
            self.log.replace(self.log.with_suffix(".log.1"))
        argv = (
            self.argv
            if self.netns is None
            else ("nsenter", f"--net={addresses.NETNS_DIRECTORY / self.netns}", *self.argv)
        )
        to_log = (os.POSIX_SPAWN_OPEN, 1, str(self.log), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            # Not subprocess: its objects complain when they are thrown away before the process has ended.
            pid = os.posix_spawnp(
                argv[0],
                argv,
                {**direct.environment(), **(self.env or {})},
                file_actions=[
                    (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
                    to_log,
                    (os.POSIX_SPAWN_DUP2, 1, 2),
                ],
                setsid=True,
                setsigmask=(),
                setsigdef=(signal.SIGPIPE, signal.SIGINT),
            )
        except OSError as error:
            raise LocalClusterError(f"cannot run {argv[0]}: {error.strerror}") from error
        part = self._pid_file.with_suffix(".part")
        part.write_text(json.dumps({"pid": pid, "started": _start_time(pid)}))
        part.rename(self._pid_file)

    def stop(self, *, seconds: float = 10) -> None:
        """Ends the process: SIGTERM, and SIGKILL when it still runs after so many seconds."""
        with self._opened() as found:
            if found:
                pid, handle = found
                for number, patience in ((signal.SIGTERM, seconds), (signal.SIGKILL, 10.0)):
                    signal.pidfd_send_signal(handle, number)
                    if _ended(handle, patience):
                        _reap(pid)
                        break
                else:
                    raise LocalClusterError(f"{self.name} (pid {pid}) does not end, not even by SIGKILL")
        self._pid_file.unlink(missing_ok=True)

    def kill(self) -> None:
        """Ends the process by SIGKILL, as a crash would."""
        self.stop_with(signal.SIGKILL)

    def stop_with(self, number: signal.Signals) -> None:
        """Sends a signal that ends the process and waits until it has."""
        with self._opened() as found:
            if found:
                signal.pidfd_send_signal(found[1], number)
                if not _ended(found[1], 10.0):
                    raise LocalClusterError(f"{self.name} (pid {found[0]}) does not end by {number.name}")
                _reap(found[0])

    def tail(self, lines: int = 8) -> str:
        """The last lines of the log, for an error's text."""
        if not self.log.exists():
            return ""
        with self.log.open("rb") as log:
            log.seek(max(0, self.log.stat().st_size - 16_384))
            return "\n".join(log.read().decode(errors="replace").splitlines()[-lines:])

    @property
    def _pid_file(self) -> Path:
        return self.directory / f"{self.name}.pid"

    @contextmanager
    def _opened(self) -> Iterator[tuple[int, int] | None]:
        """Gives (pid, pidfd) of the running process; unlike the id, the pidfd never means another one."""
        try:
            note = json.loads(self._pid_file.read_text())
            handle = os.pidfd_open(note["pid"])
        except (FileNotFoundError, ProcessLookupError, ValueError):
            yield None
            return
        try:
            pid: int = note["pid"]
            if _start_time(pid) != note["started"]:
                yield None
            elif _ended(handle, 0):
                _reap(pid)
                yield None
            else:
                yield pid, handle
        finally:
            os.close(handle)


def await_alive(daemon: Daemon, *, until: float) -> None:
    """Raises a readable error when the daemon died or the (monotonic) time has come; else waits a moment."""
    if not daemon.alive():
        raise LocalClusterError(
            f"{daemon.name} ended right after its start; {daemon.log} ends with:\n{daemon.tail()}"
        )
    if time.monotonic() > until:
        raise LocalClusterError(f"{daemon.name} does not get ready; {daemon.log} ends with:\n{daemon.tail()}")
    time.sleep(0.05)


def _start_time(pid: int) -> int | None:
    """When the process began, in clock ticks since boot (proc(5), field 22 of stat); None when it is gone."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return int(stat.rpartition(")")[2].split()[19])


def _ended(handle: int, seconds: float) -> bool:
    poll = select.poll()
    poll.register(handle, select.POLLIN)
    return bool(poll.poll(seconds * 1000))


def _reap(pid: int) -> None:
    with suppress(ChildProcessError):  # another command's child: init reaps it
        os.waitpid(pid, os.WNOHANG)
