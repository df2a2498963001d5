"""The formats that weights come in, told apart by the first bytes of a file.

What its name ends with says nothing: people rename files, and stores serve web pages.
"""

import zipfile
from enum import StrEnum
from pathlib import Path

from catfish_server.errors import UnsupportedFormat


class Format(StrEnum):
    """The formats that are read; the values are those of `/readyz` and of docs/server.md."""

    STATE_DICT = "state_dict"
    SAFETENSORS = "safetensors"
    TORCHSCRIPT = "torchscript"
    EXPORTED = "exported"
    ONNX = "onnx"


PROGRAMS = frozenset({Format.TORCHSCRIPT, Format.EXPORTED, Format.ONNX})
"""Files that are whole models: the format takes the place of the architecture's name."""

CODE = frozenset({Format.TORCHSCRIPT, Format.EXPORTED})
"""Programs that can do anything to the process that loads them: torch unpickles and evaluates parts of them."""

NAMES = {
    Format.STATE_DICT: "an archive or pickle of torch",
    Format.SAFETENSORS: "a safetensors file",
    Format.TORCHSCRIPT: "a TorchScript archive",
    Format.EXPORTED: "an archive of torch.export",
    Format.ONNX: "an ONNX model",
}

PICKLES = (b"PK\x03\x04", b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05")
"""A zip of torch.save, or the bare pickles that it wrote before 1.6 (pickle protocols 2 and up)."""

ONNX_FIELDS = frozenset(b"\x12\x1a\x22\x28\x32\x3a\x42")
"""What follows the version at the start of a ModelProto: the tags of its next fields (onnx.proto)."""

STRANGERS: tuple[tuple[bytes, str], ...] = (
    (b"<", "is a web page or XML, not weights; is the address that of the file itself?"),
    (b"version https://git-lfs", "is a Git LFS pointer, not the file that it stands for; run git lfs pull"),
    (b"\x1f\x8b", "is compressed with gzip; unpack it first"),
    (b"\x28\xb5\x2f\xfd", "is compressed with zstd; unpack it first"),
    (b"BZh", "is compressed with bzip2; unpack it first"),
    (b"\x89HDF", "is an HDF5 file (Keras), not PyTorch weights"),
    (b"GGUF", "is a GGUF file, not PyTorch weights"),
    (b"\x93NUMPY", "is a NumPy array, not PyTorch weights"),
    (b"\xff\xd8\xff", "is a JPEG image, not weights"),
    (b"\x89PNG", "is a PNG image, not weights"),
)
"""First bytes of what people link to by mistake."""


def identify(path: Path, *, vouched: bool) -> Format:
    """The format of a file.

    Args:
        path: of the file.
        vouched: whether a digest says that it is the author's. Without one no archive is opened in this
            process, and every zip counts as one of torch.save; the sandbox then says what it is.

    Raises:
        UnsupportedFormat: it is none that is read; the text completes "the file …".
        OSError: it cannot be read.
    """
    with path.open("rb") as file:
        head = file.read(512)
    if not head:
        raise UnsupportedFormat("is empty")
    if head.startswith(PICKLES):
        return _of_archive(path) if vouched else Format.STATE_DICT
    # The length of a safetensors header is a number of 8 bytes, of which the last ones are 0.
    if head[0] == 8 and head[2:3] and head[2] in ONNX_FIELDS and any(head[4:8]):
        return Format.ONNX
    if head[8:9] == b"{":
        return Format.SAFETENSORS
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    for magic, sentence in STRANGERS:
        if text.startswith(magic):
            raise UnsupportedFormat(sentence)
    raise UnsupportedFormat("is neither a file of torch.save nor safetensors, nor an ONNX model")


def check(found: Format, architecture: str) -> None:
    """Holds the format against the architecture of the spec.

    Raises:
        UnsupportedFormat: one of them is a whole model and the other is not, or is another kind.
    """
    wanted = {program.value: program for program in PROGRAMS}.get(architecture)
    if wanted is None and found in PROGRAMS:
        raise UnsupportedFormat(
            f"is {NAMES[found]}, which is a whole model: set spec.model.architecture to {found}, or save "
            "model.state_dict()"
        )
    if wanted is not None and found is not wanted:
        raise UnsupportedFormat(
            f"is {NAMES[found]}, and spec.model.architecture says that it is {NAMES[wanted]}"
        )


def of_entries(names: list[str]) -> Format:
    """The format of a zip archive by the names in it."""
    endings = {name.rpartition("/")[2] for name in names}
    if "constants.pkl" in endings:
        return Format.TORCHSCRIPT
    if endings & {"archive_format", "serialized_exported_program.json"}:  # the latter until torch 2.7
        return Format.EXPORTED
    return Format.STATE_DICT


def _of_archive(path: Path) -> Format:
    if not zipfile.is_zipfile(path):
        return Format.STATE_DICT
    try:
        with zipfile.ZipFile(path) as archive:
            return of_entries(archive.namelist())
    except (zipfile.BadZipFile, ValueError):
        return Format.STATE_DICT  # the sandbox will find it damaged
