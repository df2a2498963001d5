"""Reads a file of `torch.save` and writes it as safetensors; runs only in the child process of sandbox.py.

`weights_only=True` keeps a pickle from calling what it likes, and does not keep it from asking for a gigabyte
of memory or a minute of time. So nothing here is called in the process that serves.
"""

import errno
import os
import pickle
import re
import shutil
import zipfile
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import save_file

from catfish_server.errors import (
    DamagedWeights,
    PickledModel,
    StartupFailure,
    UnsafeWeights,
    UnsupportedFormat,
)
from catfish_server.weights import exhausted, formats, statedict

SCANNED_BYTES = 16 * 1024 * 1024
"""Of a file, in search of what tells a whole module from an attack."""

CONVERTED_FACTOR = 2
CONVERTED_SLACK = 64 * 1024 * 1024
"""Tensors may share memory in the file and do not in safetensors; beyond this they are a bomb, not
weights."""

UNREADABLE = "is cut short or damaged: torch cannot read it; upload it again"


def convert(source: Path, target: Path) -> None:
    """Writes the tensors of a file of `torch.save` as safetensors.

    Raises:
        UnsupportedFormat: the file does not hold weights.
        PickledModel: it holds a module.
        DamagedWeights: it is cut short or damaged.
        UnsafeWeights: loading it asks for more than weights need.
        OSError: the file cannot be read, or there is no room for the other one.
    """
    torch.set_num_threads(1)  # threads would each take address space
    with source.open("rb") as file:
        starts_as_zip = file.read(4) == formats.ARCHIVE
    if starts_as_zip:
        _check_archive(source)
    tensors = statedict.unwrap(_load(source, mmap=starts_as_zip))
    size = sum(tensor.numel() * tensor.element_size() for tensor in tensors.values())
    if size > source.stat().st_size * CONVERTED_FACTOR + CONVERTED_SLACK:
        raise UnsafeWeights(f"claims {size} bytes of weights in a file of {source.stat().st_size}")
    if size > shutil.disk_usage(target.parent).free:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    dense = {
        key: tensor.detach().clone(memory_format=torch.contiguous_format) for key, tensor in tensors.items()
    }
    try:
        save_file(dense, target)
    except SafetensorError as error:
        # The library has one class for all its errors; what the system said stands at the end of its words.
        code = re.search(r"os error (\d+)", str(error))
        raise OSError(
            int(code[1]) if code else errno.EIO, "the converted weights cannot be written"
        ) from error


def _check_archive(source: Path) -> None:
    entries = formats.entries(source)
    kind = formats.of_entries([entry.filename for entry in entries])
    if kind in formats.CODE:
        raise UnsupportedFormat(
            f"is {formats.NAMES[kind]}, which is code; save model.state_dict(), or set spec.weights.sha256 and "
            f"spec.model.architecture to {kind}"
        )
    if not any(entry.filename.endswith("/data.pkl") for entry in entries):
        raise UnsupportedFormat("is a zip archive, but not one that torch.save wrote")
    if any(entry.compress_type != zipfile.ZIP_STORED for entry in entries):
        raise UnsafeWeights("has compressed entries, which torch.save never writes")


def _load(source: Path, *, mmap: bool) -> object:
    try:
        return torch.load(source, map_location="cpu", weights_only=True, mmap=mmap)
    except pickle.UnpicklingError as error:
        raise _refused(source, str(error), archive=mmap) from error
    except (RecursionError, OverflowError) as error:
        raise UnsafeWeights(
            f"asked for more than weights need while it was loaded ({type(error).__name__})"
        ) from error
    except OSError:
        raise
    except Exception as error:  # torch checks little of what it reads, and trips over what is not there
        if exhausted.is_memory(error):
            raise UnsafeWeights("asked for more memory than weights need while it was loaded") from error
        raise DamagedWeights(UNREADABLE) from error


def _refused(source: Path, text: str, *, archive: bool) -> StartupFailure:
    """What it means that the safe unpickler refused the file."""
    named = re.search(r"GLOBAL ([A-Za-z_][\w.]{0,120})", text) or re.search(
        r"`?([\w.]{3,120})`? was not an allowed", text
    )
    if named is None or named[1].endswith("."):  # the second half of a name is missing
        return DamagedWeights(
            "is cut short or damaged: it is no pickle that torch.save wrote; upload it again"
        )
    if _holds_module(source):
        return PickledModel(
            f"is a whole pickled model ({named[1]}), which is code and is never run here; where its class is "
            "known, save the weights alone: "
            "torch.save(torch.load('model.pt', weights_only=False).state_dict(), 'weights.pt')"
        )
    if archive and formats.is_damaged(source):
        return DamagedWeights(
            f"is damaged: it is not what its checksums say, and wants to load {named[1]}, which no weights need; "
            "upload it again"
        )
    return UnsafeWeights(f"wants to load {named[1]}, which no weights need")


def _holds_module(source: Path) -> bool:
    """Whether the pickle is that of an nn.Module, whose state always has these two names."""
    with source.open("rb") as file:  # in an archive of torch.save the pickle is what comes first
        pickled = file.read(min(SCANNED_BYTES, os.fstat(file.fileno()).st_size))
    return b"_parameters" in pickled and b"_modules" in pickled
