"""Any file that the server would serve, opened by the server's own code, the sandbox for pickles included.

Every verb reads models through it. It imports torch only where the file needs it, and forks the sandbox before.
"""

import contextlib
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from catfish_server.errors import StartupFailure, UnsupportedFormat
from catfish_server.models.pixels import PREPROCESS, Preprocess, Triple
from catfish_server.settings import IMAGENET_MEAN, IMAGENET_STD
from catfish_server.tools import files, metadata
from catfish_server.tools.errors import OPTION, ToolFailure, translated
from catfish_server.tools.metadata import About
from catfish_server.weights import fetch, formats
from catfish_server.weights.fetch import Fetched
from catfish_server.weights.formats import Format
from catfish_server.weights.location import Location
from catfish_server.weights.sandbox import Sandbox

if TYPE_CHECKING:
    from torch import nn

    from catfish_server.models.model import Model
    from catfish_server.weights.load import StateDict

ARCHITECTURE = "resnet50"
IMAGE_SIZE = 224
"""As the server and a `CatfishModel` assume them where nothing says otherwise."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """A model that is ready to answer on this machine's CPU.

    Attributes:
        path: of its file.
        sha256: of the file's bytes.
        size: of the file in bytes.
        format: of the file.
        model: answers as it would in service.
        module: the same as torch has it, in eval mode and without gradients; None for an ONNX model.
        classes: in the order of the outputs; None where neither the file nor the caller names them.
        outputs: how many logits there are.
        architecture: of torchvision or `cnnnet`; for a whole model its format.
        image_size: height and width of its images in pixels.
        mean: of R, G and B in 0..1, with which its images are to be normalised.
        std: likewise.
        about: what the file says of itself.
        preprocess: that the file has inside; None: it takes preprocessed images.
    """

    path: Path
    sha256: str
    size: int
    format: Format
    model: "Model"
    module: "nn.Module | None"
    classes: tuple[str, ...] | None
    outputs: int
    architecture: str
    image_size: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    about: About
    preprocess: Preprocess | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """A file and what a `CatfishModel` would say of it; the arguments of `open_model`, to hand on.

    Attributes:
        option: what the names of the options begin with that say so: `--`, or `--against-` of an older file.
    """

    path: Path
    architecture: str | None = None
    classes: tuple[str, ...] | None = None
    image_size: int | None = None
    mean: tuple[float, float, float] | None = None
    std: tuple[float, float, float] | None = None
    trusted: bool = False
    option: str = OPTION

    def open(self) -> Opened:
        """The model; see `open_model`."""
        with told(self.option):
            return _Opening(source=self).done()


def open_model(
    path: Path,
    *,
    architecture: str | None = None,
    classes: tuple[str, ...] | None = None,
    image_size: int | None = None,
    mean: tuple[float, float, float] | None = None,
    std: tuple[float, float, float] | None = None,
    trusted: bool = False,
) -> Opened:
    """The model in a file, read and checked as the server does it.

    Args:
        path: of the file.
        architecture: that the weights are for; None: what the file says of itself, else resnet50, or the format of a
            file that is a whole model.
        classes: one for each output; None: as the file names them.
        image_size: in pixels; None: what the file says of itself, else 224.
        mean: None: what the file says of itself, else that of ImageNet.
        std: likewise.
        trusted: whether a file that is code (TorchScript, torch.export) may be run here.

    Raises:
        ToolFailure: it cannot be used; the text says why.
    """
    return Source(
        path=path,
        architecture=architecture,
        classes=classes,
        image_size=image_size,
        mean=mean,
        std=std,
        trusted=trusted,
    ).open()


def weights(path: Path, kind: Format) -> "tuple[StateDict, str]":
    """The tensors in a file of weights, and the SHA-256 of the file.

    Args:
        path: of the file.
        kind: its format, none of a whole model.

    Raises:
        StartupFailure: they cannot be used.
    """
    # As early as can be: a fork copies only the thread that calls it.
    with (
        contextlib.closing(Sandbox(likely=kind is Format.STATE_DICT)) as sandbox,
        tempfile.TemporaryDirectory(prefix="catfish-") as directory,
    ):
        from catfish_server.weights import load  # noqa: PLC0415 (torch takes seconds, as below)

        fetched = _fetched(path)
        found = load.load(
            fetched,
            kind=kind,
            location=_location(path),
            directory=Path(directory),
            sandbox=sandbox,
            heartbeat=lambda: None,
        )
    return found, fetched.sha256


@contextlib.contextmanager
def told(option: str = OPTION) -> Iterator[None]:
    """Says what would end a server's start-up in the words of this command line; see `translated`."""
    try:
        yield
    except StartupFailure as failure:
        raise translated(failure, option) from failure


@dataclass(frozen=True, slots=True, kw_only=True)
class _Opening:
    """One opening of a source."""

    source: Source

    def done(self) -> Opened:
        kind = files.identify(self.source.path)
        texts = metadata.read(self.source.path, kind)
        about = About.read(texts)
        size = self.source.image_size or about.image_size or IMAGE_SIZE
        whole = kind in formats.PROGRAMS
        architecture = self.source.architecture or (
            kind.value if whole else about.architecture or ARCHITECTURE
        )
        self._check(kind, architecture)
        mean, std = (
            self.source.mean or about.mean or IMAGENET_MEAN,
            self.source.std or about.std or IMAGENET_STD,
        )
        answering = (
            self._program(kind, size, mean, std) if whole else self._registry(kind, architecture, size)
        )
        return Opened(
            path=self.source.path,
            sha256=answering.sha256,
            size=self.source.path.stat().st_size,
            format=kind,
            model=answering.model,
            module=answering.module,
            classes=answering.classes,
            outputs=answering.outputs,
            architecture=architecture,
            image_size=size,
            mean=mean,
            std=std,
            about=about,
            preprocess=Preprocess.read(texts[PREPROCESS]) if whole and texts.get(PREPROCESS) else None,
        )

    def _check(self, kind: Format, architecture: str) -> None:
        if kind in formats.CODE and not self.source.trusted:
            raise ToolFailure(
                f"{self.source.path} is {formats.NAMES[kind]}, which is code that would run here; add --trust if "
                "you know whose it is"
            )
        try:
            formats.check(kind, architecture)
        except UnsupportedFormat as failure:
            raise UnsupportedFormat(f"{self.source.path} {failure}") from failure

    def _registry(self, kind: Format, architecture: str, size: int) -> "_Answering":
        """Weights, built into a module of the registry."""
        found, digest = weights(self.source.path, kind)
        from catfish_server.inference import build  # noqa: PLC0415 (after the sandbox is forked)
        from catfish_server.models import heads, registry  # noqa: PLC0415
        from catfish_server.models.module import TorchModel  # noqa: PLC0415

        classes = build.named(self.source.classes or (), found.classes)
        module = registry.build(architecture, found.tensors, classes=classes or None, image_size=size)
        return _Answering(
            model=TorchModel.channels_last(module),
            module=module,
            classes=classes or None,
            outputs=heads.outputs(module),
            sha256=digest,
        )

    def _program(self, kind: Format, size: int, mean: Triple, std: Triple) -> "_Answering":
        """A whole model, tried as the server tries it."""
        from catfish_server.inference import build, prepare  # noqa: PLC0415
        from catfish_server.models import programs  # noqa: PLC0415

        fetched = _fetched(self.source.path)
        loaded = programs.load(
            kind, fetched, location=_location(self.source.path), image_size=size, mean=mean, std=std
        )
        classes = build.named(self.source.classes or (), loaded.classes)
        outputs = len(classes) or prepare.outputs(loaded, image_size=size)
        names = classes or tuple(map(str, range(outputs)))
        model = prepare.prepare(loaded, classes=names, image_size=size)
        module = getattr(loaded.reference, "module", None)
        return _Answering(
            model=model, module=module, classes=classes or None, outputs=outputs, sha256=fetched.sha256
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Answering:
    """What comes out of a file of either kind; the attributes are those of `Opened`."""

    model: "Model"
    module: "nn.Module | None"
    classes: tuple[str, ...] | None
    outputs: int
    sha256: str


def _location(path: Path) -> Location:
    return Location(kind="file", shown=str(path), path=path)


def _fetched(path: Path) -> Fetched:
    """The file where it lies, with its digest."""
    return fetch.fetch(
        _location(path), directory=path.parent, sha256=None, endpoint=None, env={}, progress=lambda *_: None
    )
