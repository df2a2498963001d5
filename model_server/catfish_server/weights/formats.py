"""The formats that weights come in, told apart by the first bytes of a file.

What its name ends with says nothing: people rename files, and stores serve web pages.
"""

import zipfile
import zlib
from enum import StrEnum
from pathlib import Path

from catfish_server.errors import DamagedWeights, StartupFailure, UnsupportedFormat, WebPage


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

ARCHIVE = b"PK\x03\x04"
"""A zip's first entry; torch writes none without entries."""

PICKLES = (ARCHIVE, b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05")
"""A zip of torch.save, or the bare pickles that it wrote before 1.6 (pickle protocols 2 and up)."""

ONNX_FIELDS = frozenset(b"\x12\x1a\x22\x28\x32\x3a\x42")
"""What follows the version at the start of a ModelProto: the tags of its next fields (onnx.proto)."""

STRANGERS: tuple[tuple[bytes, str], ...] = (
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

CUT_SHORT = "is cut short or damaged: an archive with its end missing; upload it again"
"""The table of a zip's entries stands at its end."""

UNREADABLE = (zipfile.BadZipFile, zlib.error, EOFError, ValueError, OverflowError, RuntimeError)
"""What a damaged archive makes `zipfile` raise: a version, an encryption or an offset that there never was."""


def identify(path: Path, *, vouched: bool) -> Format:
    """The format of a file.

    Args:
        path: of the file.
        vouched: whether a digest says that it is the author's. Without one no archive is opened in this
            process, and every zip counts as one of torch.save; the sandbox then says what it is.

    Raises:
        UnsupportedFormat: it is none that is read; the text completes "the file …".
        WebPage: it is a web page or XML.
        DamagedWeights: it is empty, or an archive that is vouched for and damaged.
        OSError: it cannot be read.
    """
    with path.open("rb") as file:
        head = file.read(512)
    if not head:
        raise DamagedWeights("is empty: 0 bytes; upload it again")
    if head.startswith(ARCHIVE) and vouched:
        return of_entries([entry.filename for entry in entries(path)])
    if head.startswith(PICKLES):
        return Format.STATE_DICT
    # The length of a safetensors header is a number of 8 bytes, of which the last ones are 0.
    if head[0] == 8 and head[2:3] and head[2] in ONNX_FIELDS and any(head[4:8]):
        return Format.ONNX
    if head[8:9] == b"{":
        return Format.SAFETENSORS
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    if text.startswith(b"<"):
        raise WebPage("is a web page or XML, not weights; is the address that of the file itself?")
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


def entries(path: Path) -> list[zipfile.ZipInfo]:
    """What an archive's table lists.

    Raises:
        DamagedWeights: it has none, or not its own; the text completes "the file …".
        OSError: it cannot be read.
    """
    found: list[zipfile.ZipInfo] = []
    try:
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                found = archive.infolist()
    except UNREADABLE as error:
        raise DamagedWeights("is a damaged archive; upload it again") from error
    # What torch.export writes holds archives. Where its own table is cut off, the table of the last of them is found.
    if min((entry.header_offset for entry in found), default=1):
        raise DamagedWeights(CUT_SHORT)
    return found


def is_damaged(path: Path) -> bool:
    """Says whether an archive has an entry that is not what its checksum says; it is read to its end.

    Raises:
        OSError: it cannot be read.
    """
    try:
        entries(path)
        with zipfile.ZipFile(path) as archive:
            return archive.testzip() is not None
    except (DamagedWeights, *UNREADABLE):
        return True


def unloadable(path: Path, kind: Format) -> StartupFailure:
    """Why torch does not load an archive.

    Args:
        path: of the file.
        kind: its format, one that is an archive.

    Returns:
        DamagedWeights or UnsupportedFormat; the text completes "the file …".
    """
    if is_damaged(path):
        return DamagedWeights(f"is {NAMES[kind]} that is cut short or damaged; upload it again")
    return UnsupportedFormat(
        f"is {NAMES[kind]} that this server's torch cannot load: it was written by another torch, or needs operators "
        "of another library"
    )
