"""Ports of loopback for servers that cannot choose one by themselves.

A port that the kernel hands out by itself may be handed out again, to the next connection of anybody, before the server
listens on it. So these lie where the kernel takes none by itself, and below the node ports of Kubernetes; and each is
locked for as long as this process lives, so that two that ask at the same time are given different ones.
"""

import fcntl
import os
import random
import socket
import tempfile
import threading
from collections.abc import Iterator
from contextlib import suppress
from itertools import islice
from pathlib import Path

PORTS = range(20_000, 30_000)
"""Below both `net.ipv4.ip_local_port_range` (32768 to 60999 by default) and Kubernetes' node ports (30000 to 32767)."""

_asking = threading.Lock()
_given: list[int] = []
"""By this process, which its own locks do not keep from taking them again."""
_locks: list[int] = []
"""The file of the locks, once it is open. It stays open: to close it gives back all that this process has locked."""


def free_ports(count: int) -> list[int]:
    """Ports of loopback that nothing listens on and that nobody else has been given, all different.

    Raises:
        OSError: there are not so many.
    """
    with _asking:
        found = list(islice(_free(), count))
        _given.extend(found)
    if len(found) < count:
        raise OSError(f"fewer than {count} ports of loopback from {PORTS[0]} to {PORTS[-1]} are free")
    return found


def _free() -> Iterator[int]:
    for port in random.sample(PORTS, len(PORTS)):
        if port not in _given and _locked(port) and not _taken(port):
            yield port


def _locked(port: int) -> bool:
    if not _locks:
        path = Path(tempfile.gettempdir(), f"catfish-ports-{os.getuid()}")
        _locks.append(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
    try:  # a byte for each port; none is ever written
        fcntl.lockf(_locks[0], fcntl.LOCK_EX | fcntl.LOCK_NB, 1, port)
    except (BlockingIOError, PermissionError):  # POSIX lets a system say either
        return False
    return True


def _taken(port: int) -> bool:
    with suppress(OSError), socket.create_server(("127.0.0.1", port)):
        return False
    return True
