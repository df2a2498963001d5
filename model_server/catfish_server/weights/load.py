"""From a local file to tensors: known formats only, finite values only, in this process's own memory."""

import json
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open

from catfish_server.errors import DamagedWeights, UnsafeWeights, WeightsUnreachable
from catfish_server.weights import exhausted, statedict
from catfish_server.weights.fetch import Fetched
from catfish_server.weights.formats import Format
from catfish_server.weights.local import failures
from catfish_server.weights.location import Location
from catfish_server.weights.sandbox import Sandbox

MAX_HEADER_BYTES = 1024 * 1024
"""Of a safetensors file; the header of a model with 1,000 tensors has 100 KiB."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StateDict:
    """What a file of weights holds.

    Attributes:
        tensors: by name, dense and finite, floating ones as float32, each in memory of its own.
        classes: that the file names in its metadata, as text; None where it names none.
    """

    tensors: dict[str, torch.Tensor]
    classes: str | None


def load(
    fetched: Fetched,
    *,
    kind: Format,
    location: Location,
    directory: Path,
    sandbox: Sandbox,
    heartbeat: Callable[[], None],
) -> StateDict:
    """The weights in a file, which may go afterwards.

    Args:
        fetched: the local file.
        kind: its format, as `local.identify` told it.
        location: for messages.
        directory: for the file that the sandbox hands over.
        sandbox: reads pickles; closed afterwards, needed or not.
        heartbeat: called every second or so.

    Raises:
        StartupFailure: the file holds no weights that can be used.
    """
    with failures(location), ExitStack() as leaving:
        leaving.callback(sandbox.close)
        path = fetched.path
        if kind is Format.STATE_DICT:
            handover = Path(leaving.enter_context(tempfile.TemporaryDirectory(dir=directory))) / "weights"
            sandbox.convert(path, handover, heartbeat=heartbeat)
            path = handover
        found = _safetensors(path, heartbeat)
        if fetched.changed():
            raise WeightsUnreachable("was written to while it was being loaded")
        return found


def _safetensors(path: Path, heartbeat: Callable[[], None]) -> StateDict:
    with path.open("rb") as file:
        header = int.from_bytes(file.read(8), "little")
    if header > MAX_HEADER_BYTES:
        raise UnsafeWeights(f"has a header of {header} bytes; weights need no more than {MAX_HEADER_BYTES}")
    tensors: dict[str, torch.Tensor] = {}
    try:
        with exhausted.told(), safe_open(path, framework="pt") as opened:
            metadata = opened.metadata() or {}
            for key in opened.keys():  # noqa: SIM118 (it is no mapping)
                tensors[key] = statedict.float32(key, opened.get_tensor(key))
                heartbeat()
    except (SafetensorError, json.JSONDecodeError) as error:
        raise DamagedWeights("is a safetensors file that is cut short or damaged; upload it again") from error
    unwrapped = statedict.without_prefix(statedict.unwrap(tensors))
    return StateDict(tensors=unwrapped, classes=metadata.get("classes") or None)
