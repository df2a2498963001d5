"""Files that are whole models: which module of this package runs which format."""

from collections.abc import Sequence
from dataclasses import replace

from catfish_server.errors import WeightsUnreachable
from catfish_server.models.model import Loaded
from catfish_server.models.pixels import OfPixels, Preprocess
from catfish_server.weights import local
from catfish_server.weights.fetch import Fetched
from catfish_server.weights.formats import Format
from catfish_server.weights.location import Location


def load(
    kind: Format,
    fetched: Fetched,
    *,
    location: Location,
    image_size: int,
    mean: Sequence[float],
    std: Sequence[float],
) -> Loaded:
    """The model in a file, which takes preprocessed images whether it has a preprocessing of its own inside or not.

    Args:
        kind: its format, one of `formats.PROGRAMS`.
        fetched: the local file; it may go afterwards.
        location: for messages.
        image_size: height and width in pixels of the images that it will get.
        mean: with which they are normalised.
        std: likewise.

    Raises:
        StartupFailure: it cannot be used.
    """
    with local.failures(location):
        loaded = _load(kind, fetched)
        if fetched.changed():
            raise WeightsUnreachable("was written to while it was being loaded")
        if loaded.preprocess is None:
            return loaded
        inside = Preprocess.read(loaded.preprocess)
    inside.check(image_size=image_size, mean=mean, std=std)
    fast = OfPixels(loaded.model, inside, mean=mean, std=std)
    if loaded.reference is None or loaded.reference is loaded.model:
        return replace(loaded, model=fast, reference=fast)
    return replace(loaded, model=fast, reference=OfPixels(loaded.reference, inside, mean=mean, std=std))


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
