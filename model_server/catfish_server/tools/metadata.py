"""What a model's file says of itself, in each format: its classes, and what `catfish` wrote beside them.

Each format has its own place for named texts: extra files of a TorchScript or torch.export archive, the metadata of
ONNX and of safetensors. The server reads `classes` and `preprocess`; `catfish` is a JSON object of this package alone.
Reading runs nothing of the file.
"""

import json
import zipfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from catfish_server.models.pixels import PREPROCESS, Preprocess
from catfish_server.weights.formats import CODE, Format

CLASSES, CATFISH = "classes", "catfish"
"""Names of the texts."""

MAX_BYTES = 1024 * 1024
"""Of one text; what is longer is not one of ours."""


@dataclass(frozen=True, slots=True, kw_only=True)
class About:
    """What the file needs to be used rightly, as the verb knew it that wrote the file; None: it says nothing.

    Attributes:
        architecture: of the weights inside.
        image_size: height and width in pixels that the model takes.
        mean: of R, G and B in 0..1, with which its images are normalised.
        std: likewise.
        made_by: the verb, such as `export trace`.
        source_sha256: of the file that it was made from.
        measured: what the verb measured of it, by name.
    """

    architecture: str | None = None
    image_size: int | None = None
    mean: tuple[float, float, float] | None = None
    std: tuple[float, float, float] | None = None
    made_by: str | None = None
    source_sha256: str | None = None
    measured: Mapping[str, Any] | None = None

    @classmethod
    def read(cls, texts: Mapping[str, str]) -> "About":
        """What the texts of a file say; one that is not from here, or damaged, says nothing."""
        try:
            found = json.loads(texts.get(CATFISH) or "{}")
            known = {field.name for field in fields(cls)}
            about = cls(**{name: value for name, value in found.items() if name in known})
            about._check()
        except (ValueError, TypeError, AttributeError, RecursionError):
            return cls()
        triples = {name: tuple(found[name]) for name in ("mean", "std") if found.get(name)}
        return cls(**{**about.said(), **triples})

    def said(self) -> dict[str, Any]:
        """What it says, by attribute."""
        return {name: value for name, value in asdict(self).items() if value is not None}

    def _check(self) -> None:
        texts = (self.architecture, self.made_by, self.source_sha256)
        if not all(text is None or isinstance(text, str) for text in texts):
            raise TypeError("a text is something else")
        if not (self.image_size is None or (type(self.image_size) is int and 0 < self.image_size <= 4096)):
            raise ValueError("no size of images")
        if not isinstance(self.measured, dict | None):
            raise TypeError("no figures")
        for triple in (self.mean, self.std):
            if triple is not None and [type(value) for value in triple] not in ([float] * 3, [int] * 3):
                raise TypeError("no three numbers")


def texts(
    about: About, classes: tuple[str, ...] | None, *, preprocess: Preprocess | None = None
) -> dict[str, str]:
    """The named texts to write into a file.

    Args:
        about: what else it says.
        classes: in the order of the outputs, None where nobody has named them.
        preprocess: that is inside; None: none is.
    """
    written = {CATFISH: json.dumps(about.said(), ensure_ascii=False)}
    if preprocess is not None:
        written[PREPROCESS] = preprocess.text()
    return written if classes is None else {CLASSES: json.dumps(classes, ensure_ascii=False), **written}


def write_onnx(path: Path, named: Mapping[str, str]) -> None:
    """Writes named texts into an ONNX file; what is there under other names is kept."""
    import onnx  # noqa: PLC0415 (no other format needs it)

    model = onnx.load(path)
    there = {entry.key: entry.value for entry in model.metadata_props}
    onnx.helper.set_model_props(model, {**there, **named})
    onnx.save(model, path)


def read(path: Path, kind: Format) -> dict[str, str]:
    """The named texts in a file; none where it has no place for them or they cannot be read.

    Args:
        path: of the file.
        kind: its format.
    """
    try:
        if kind in CODE:
            return _of_archive(path)
        if kind is Format.SAFETENSORS:
            return _of_safetensors(path)
        return _of_onnx(path) if kind is Format.ONNX else {}
    except (OSError, ValueError, zipfile.BadZipFile, RuntimeError, NotImplementedError):
        return {}  # loading it will say what is wrong with it


def _of_archive(path: Path) -> dict[str, str]:
    found = {}
    with zipfile.ZipFile(path) as archive:
        for entry in archive.infolist():
            folder, _, name = entry.filename.rpartition("/extra/")
            if folder and name in {CLASSES, CATFISH, PREPROCESS} and entry.file_size <= MAX_BYTES:
                found[name] = archive.read(entry).decode(errors="replace")
    return found


def _of_safetensors(path: Path) -> dict[str, str]:
    with path.open("rb") as file:
        header = file.read(min(int.from_bytes(file.read(8), "little"), MAX_BYTES))
    found = json.loads(header).get("__metadata__", {})
    return {str(name): str(value) for name, value in found.items()} if isinstance(found, dict) else {}


def _of_onnx(path: Path) -> dict[str, str]:
    import onnx  # noqa: PLC0415 (no other format needs it)
    from google.protobuf.message import DecodeError  # noqa: PLC0415

    try:
        model = onnx.load(path, load_external_data=False)
    except DecodeError as error:
        raise ValueError("is no ONNX model") from error
    return {entry.key: entry.value for entry in model.metadata_props}
