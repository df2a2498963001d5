"""What running out of memory looks like while a model is made ready, and what is said of it.

How much is left depends on who else is there, so that the next try may well succeed: no verdict on the model.
"""

import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager

from catfish_server.errors import OutOfMemory
from catfish_server.models.model import OUT_OF_MEMORY

logger = logging.getLogger(__name__)

_DEVICE = re.compile(r"\b(?:CUDA|HIP)(?: error:)? out of memory|_STATUS_ALLOC_FAILED")
"""torch.OutOfMemoryError, which TorchScript wraps in an error of its own; the driver's; cuBLAS's and cuDNN's. An image
without torch has none of their classes."""

_SHOWN = 300


def is_of_device(error: BaseException) -> bool:
    """Says whether a GPU has no memory left."""
    return _DEVICE.search(str(error)) is not None


def failure_of(error: BaseException) -> OutOfMemory | None:
    """What to end the start with where memory ran out; None where something else is wrong."""
    if is_of_device(error):
        return OutOfMemory(
            "spec.resources.limits: the GPU has not enough memory left for the model; give it a larger one, or one "
            "that nothing else uses"
        )
    if isinstance(error, MemoryError) or OUT_OF_MEMORY.search(str(error)):
        return OutOfMemory("spec.resources.limits.memory: is not enough to load and run the model; raise it")
    return None


def log_cause(error: BaseException) -> None:
    """Writes down in one line what the failure's sentence does not say."""
    first = (str(error).strip().splitlines() or [""])[0][:_SHOWN]
    logger.warning("The model does not run: %s: %s", type(error).__name__, first)


@contextmanager
def told() -> Iterator[None]:
    """Turns running out of memory into its failure; every other error goes on as it is.

    Raises:
        OutOfMemory: there is not enough.
    """
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        failure = failure_of(error)
        if failure is None:
            raise
        log_cause(error)
        raise failure from error
