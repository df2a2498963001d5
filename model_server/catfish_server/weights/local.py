"""A local file of weights, whatever is in it: its format, and whose fault it is when it cannot be used.

It imports neither torch nor safetensors: a server of an ONNX model has no need of them.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from catfish_server.errors import DiskFull, OutOfMemory, StartupFailure, WeightsUnreachable
from catfish_server.weights import exhausted, formats
from catfish_server.weights.fetch import Fetched
from catfish_server.weights.formats import Format
from catfish_server.weights.location import Location


def identify(fetched: Fetched, *, location: Location, architecture: str) -> Format:
    """The format of a file, which is one for the architecture of the spec.

    Raises:
        UnsupportedFormat: it is not.
        WebPage: it is none at all.
        DamagedWeights: it is empty, or its end is missing.
        WeightsUnreachable: it cannot be read.
    """
    with failures(location):
        kind = formats.identify(fetched.path, vouched=fetched.vouched)
        formats.check(kind, architecture)
        return kind


@contextmanager
def failures(location: Location) -> Iterator[None]:
    """Says of what goes wrong where the file came from."""
    try:
        with exhausted.told(location):
            yield
    except (DiskFull, OutOfMemory):
        raise  # it names its field itself
    except StartupFailure as failure:
        raise type(failure)(location.says(str(failure))) from failure
    except OSError as error:
        raise WeightsUnreachable(location.says(f"cannot be read: {error.strerror}")) from error
