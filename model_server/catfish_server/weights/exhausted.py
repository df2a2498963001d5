"""What running out of memory or of disk looks like while a model is made ready, and what is said of it: one rule.

How much is left depends on who else is there, so that the next try may well succeed: no verdict on the model. The
child that reads pickles is another matter: its limits are drawn from the size of the file (sandbox.py).
"""

import errno
import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager

from catfish_server.errors import DiskFull, OutOfMemory, StartupFailure
from catfish_server.weights.location import Location

logger = logging.getLogger(__name__)

DISK_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
"""Error numbers of the system: no room, none for this user, none for a file of that size."""

_DEVICE = re.compile(r"\b(?:CUDA|HIP)(?: error:)? out of memory|_STATUS_ALLOC_FAILED")
"""torch.OutOfMemoryError, which TorchScript wraps in an error of its own; the driver's; cuBLAS's and cuDNN's. An image
without torch has none of their classes."""

_MEMORY = re.compile(r"bad_alloc|allocate memory|not enough memory")
"""How the allocators of torch and of ONNX Runtime say so; neither has a class of error for it."""

_SHOWN = 300


def failure_of(error: BaseException, *, location: Location | None = None) -> DiskFull | OutOfMemory | None:
    """What to end the start with where memory or disk ran out; None where something else is wrong.

    Args:
        error: whatever was raised.
        location: of the weights, to name them where the disk is full.

    Returns:
        The failure; its text is a whole sentence with the field of the spec that it is about.
    """
    if isinstance(error, OSError) and error.errno in DISK_FULL:
        words = "does not fit: the disk is full; give the pod more ephemeral storage"
        return DiskFull(location.says(words) if location else f"spec.weights.url: the file {words}")
    if _DEVICE.search(str(error)):
        return OutOfMemory(
            "spec.resources.limits: the GPU has not enough memory left for the model; give it a larger one, or one "
            "that nothing else uses"
        )
    if is_memory(error):
        return of_pod()
    return None


def is_memory(error: BaseException) -> bool:
    """Says whether this process got no more memory, that of a GPU aside."""
    if isinstance(error, OSError):
        return error.errno == errno.ENOMEM
    return isinstance(error, MemoryError) or _MEMORY.search(str(error)) is not None


def of_pod() -> OutOfMemory:
    """What to end the start with where the pod has not the memory."""
    return OutOfMemory("spec.resources.limits.memory: is not enough to load and run the model; raise it")


def log_cause(error: BaseException) -> None:
    """Writes down in one line what the failure's sentence does not say."""
    first = (str(error).strip().splitlines() or [""])[0][:_SHOWN]
    logger.warning("The model does not run: %s: %s", type(error).__name__, first)


@contextmanager
def told(location: Location | None = None) -> Iterator[None]:
    """Turns running out of memory or disk into its failure; every other error goes on as it is.

    Args:
        location: as of `failure_of`.

    Raises:
        StartupFailure: OutOfMemory or DiskFull: there is not enough.
    """
    try:
        yield
    except StartupFailure:
        raise
    except Exception as error:
        failure = failure_of(error, location=location)
        if failure is None:
            raise
        if isinstance(failure, OutOfMemory):
            log_cause(error)
        raise failure from error
