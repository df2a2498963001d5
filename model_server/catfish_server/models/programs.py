"""Files that are whole models: which module of this package runs which format."""

from catfish_server.errors import WeightsUnreachable
from catfish_server.models.model import Loaded
from catfish_server.weights import local
from catfish_server.weights.fetch import Fetched
from catfish_server.weights.formats import Format
from catfish_server.weights.location import Location


def load(kind: Format, fetched: Fetched, *, location: Location) -> Loaded:
    """The model in a file.

    Args:
        kind: its format, one of `formats.PROGRAMS`.
        fetched: the local file; it may go afterwards.
        location: for messages.

    Raises:
        StartupFailure: it cannot be used.
    """
    with local.failures(location):
        loaded = _load(kind, fetched)
        if fetched.changed():
            raise WeightsUnreachable("was written to while it was being loaded")
        return loaded


def _load(kind: Format, fetched: Fetched) -> Loaded:
    # Each runtime costs start-up time and memory, and a pod needs one of them.
    match kind:
        case Format.ONNX:
            from catfish_server.models import onnx  # noqa: PLC0415

            return onnx.load(fetched.path)
        case Format.EXPORTED:
            from catfish_server.models import exported  # noqa: PLC0415

            return exported.load(fetched.path)
        case _:
            from catfish_server.models import torchscript  # noqa: PLC0415

            return torchscript.load(fetched.path)
