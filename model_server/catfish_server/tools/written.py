"""Files that a verb writes: never under their name before they are whole and checked."""

import os
import re
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from catfish_server.tools.errors import Refused, ToolFailure, Usage
from catfish_server.weights.exhausted import DISK_FULL

RUST = re.compile(r"\(os error ([0-9]+)\)")
"""The number of an error in the words of Rust: safetensors takes what it could write away before it says so."""

NO_ROOM = 64 * 1024
"""Bytes on a disk that is taken for full: a writer gives up before the last block."""


@contextmanager
def whole(out: Path, *, source: Path) -> Iterator[Path]:
    """Gives a path to write to, which becomes the file when the block ends without an exception.

    Args:
        out: the file's name; one that is there already is replaced.
        source: what it is made from, which may not be the same file.

    Raises:
        ToolFailure: there can be no such file, or the disk is full.
    """
    if out.exists() and source.exists() and out.samefile(source):
        raise Usage(f"{out} is the file that is read; give the new one another name")
    if out.is_dir():
        raise ToolFailure(f"{out}: is a directory; name a file in it")
    if out.exists() and not out.is_file():  # /dev/null would be one from then on
        raise ToolFailure(f"{out}: is no regular file, and would be replaced by one")
    if not out.parent.is_dir():
        raise ToolFailure(f"{out}: there is no directory {out.parent}; make it first")
    try:
        # In a directory of its own beside it: some writers add files, and the rename must not cross file systems.
        directory = tempfile.TemporaryDirectory(prefix=f".{out.name}-", dir=out.parent)
    except OSError as error:
        raise ToolFailure(f"{out}: cannot be written: {error.strerror}") from error
    with directory as folder:
        part = Path(folder) / out.name
        with _named(part), _room_for(out, Path(folder)):
            yield part
        part.replace(out)


def save(path: Path, parts: Iterable[bytes | memoryview]) -> None:
    """Writes a file.

    Torch cannot be left to do it: its writer in C++ ends the process where a disk is full
    (std::terminate, since a destructor throws).

    Raises:
        OSError: it names the file, which that of `write` does not.
    """
    try:
        with path.open("wb") as file:
            file.writelines(parts)
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from error


@contextmanager
def _named(part: Path) -> Iterator[None]:
    """Says of a file that is gone by then that it was the new one."""
    try:
        yield
    except ToolFailure as failure:
        text = str(failure)
        told = text.replace(str(part.absolute()), "the new file").replace(str(part), "the new file")
        if told == text:
            raise
        raise type(failure)(told) from failure


@contextmanager
def _room_for(out: Path, folder: Path) -> Iterator[None]:
    """Says of a disk that is full that it is, however the library says so that was writing."""
    try:
        yield
    except Refused:
        raise
    except Exception as error:
        if _is_of(error, folder) or _free(folder) < NO_ROOM:
            raise ToolFailure(f"{out}: the disk is full; make room, or write to another one") from error
        raise


def _is_of(error: BaseException, folder: Path) -> bool:
    """Whether it is that there is no room for a file in the folder."""
    if isinstance(error, OSError):
        return error.errno in DISK_FULL and str(error.filename or "").startswith(str(folder))
    told = RUST.search(str(error))
    return told is not None and int(told[1]) in DISK_FULL


def _free(folder: Path) -> int:
    """Bytes that this user may still write."""
    disk = os.statvfs(folder)
    return disk.f_frsize * (disk.f_bavail if os.geteuid() else disk.f_bfree)
