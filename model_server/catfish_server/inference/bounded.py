"""Keeps a file that is no code, but may ask for any amount of memory, to what the container has left.

A kilobyte of ONNX can ask for terabytes. Linux grants them, and ends the process when they are written to, without a
word on why. With a limit on addresses the request fails instead, and start-up can say so.
"""

import resource
from collections.abc import Iterator
from contextlib import contextmanager
from math import inf, isinf
from pathlib import Path

from catfish_server.inference.engines import memory

SLACK = 256 * 1024 * 1024
"""Addresses on top of what is left, as of libraries and of stacks, that are never written to."""


@contextmanager
def to_room(*, needed: bool, status: Path = Path("/proc/self/status")) -> Iterator[None]:
    """Lets this process, in all of its threads, take no more memory than is left now.

    Args:
        needed: whether to; not for what may run on a GPU, as CUDA reserves addresses by the terabyte.
        status: of this process; where it is missing nobody knows what it has already, and there is no limit.
    """
    room = memory.room() if needed else inf
    if isinf(room) or not status.exists():
        yield
        return
    before, most = resource.getrlimit(resource.RLIMIT_AS)
    used = int(status.read_text().split("VmSize:")[1].split()[0]) * 1024
    limits = [
        used + max(0, int(room)) + SLACK,
        *(one for one in (before, most) if one != resource.RLIM_INFINITY),
    ]
    resource.setrlimit(resource.RLIMIT_AS, (min(limits), most))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (before, most))
