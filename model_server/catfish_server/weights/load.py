"""From a local file to tensors: known formats only, finite values only, in this process's own memory."""

import json
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open

from catfish_server.errors import StartupFailure, UnsafeWeights, UnsupportedFormat, WeightsUnreachable
from catfish_server.weights import statedict
from catfish_server.weights.fetch import Fetched
from catfish_server.weights.location import Location
from catfish_server.weights.sandbox import Sandbox

MAX_HEADER_BYTES = 1024 * 1024
"""Of a safetensors file; the header of a model with 1,000 tensors has 100 KiB."""

STATE_DICT = "state_dict"
SAFETENSORS = "safetensors"

PICKLES = (b"PK\x03\x04", b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05")
"""A zip of torch.save, or the bare pickles that it wrote before 1.6 (pickle protocols 2 and up)."""

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


def load(
    fetched: Fetched,
    *,
    kind: str,
    location: Location,
    directory: Path,
    sandbox: Sandbox,
    heartbeat: Callable[[], None],
) -> dict[str, torch.Tensor]:
    """The weights by name: dense, finite, floating ones as float32.

    The tensors have memory of their own, so the file may go afterwards.

    Args:
        fetched: the local file.
        kind: its format, as `identify` told it.
        location: for messages.
        directory: for the file that the sandbox hands over.
        sandbox: reads pickles; closed afterwards, needed or not.
        heartbeat: called every second or so.

    Raises:
        StartupFailure: the file holds no weights that can be used.
    """
    with _failures(location), ExitStack() as leaving:
        leaving.callback(sandbox.close)
        path = fetched.path
        if kind == STATE_DICT:
            handover = Path(leaving.enter_context(tempfile.TemporaryDirectory(dir=directory))) / "weights"
            sandbox.convert(path, handover, heartbeat=heartbeat)
            path = handover
        tensors = _safetensors(path, heartbeat)
        if fetched.changed():
            raise WeightsUnreachable("was written to while it was being loaded")
        return tensors


def identify(path: Path, *, location: Location) -> str:
    """The format of a file, by its first bytes: `state_dict` or `safetensors`.

    Raises:
        UnsupportedFormat: it is neither.
        WeightsUnreachable: it cannot be read.
    """
    with _failures(location):
        return _format(path)


@contextmanager
def _failures(location: Location) -> Iterator[None]:
    """Says of what goes wrong where the file came from."""
    try:
        yield
    except StartupFailure as failure:
        raise type(failure)(location.says(str(failure))) from failure
    except OSError as error:
        raise WeightsUnreachable(location.says(f"cannot be read: {error.strerror}")) from error


def _format(path: Path) -> str:
    with path.open("rb") as file:
        head = file.read(512)
    if not head:
        raise UnsupportedFormat("is empty")
    if head.startswith(PICKLES):
        return STATE_DICT
    if head[8:9] == b"{":
        return SAFETENSORS
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    for magic, sentence in STRANGERS:
        if text.startswith(magic):
            raise UnsupportedFormat(sentence)
    raise UnsupportedFormat("is neither a file of torch.save nor safetensors")


def _safetensors(path: Path, heartbeat: Callable[[], None]) -> dict[str, torch.Tensor]:
    with path.open("rb") as file:
        header = int.from_bytes(file.read(8), "little")
    if header > MAX_HEADER_BYTES:
        raise UnsafeWeights(f"has a header of {header} bytes; weights need no more than {MAX_HEADER_BYTES}")
    tensors: dict[str, torch.Tensor] = {}
    try:
        with safe_open(path, framework="pt") as opened:
            for key in opened.keys():  # noqa: SIM118 (it is no mapping)
                tensors[key] = statedict.float32(key, opened.get_tensor(key))
                heartbeat()
    except (SafetensorError, json.JSONDecodeError) as error:
        raise UnsupportedFormat("is a damaged safetensors file, or one that is cut short") from error
    return statedict.without_prefix(statedict.unwrap(tensors))
