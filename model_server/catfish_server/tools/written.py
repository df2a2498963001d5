"""Files that a verb writes: never under their name before they are whole and checked."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from catfish_server.tools.errors import ToolFailure, Usage


@contextmanager
def whole(out: Path, *, source: Path) -> Iterator[Path]:
    """Gives a path to write to, which becomes the file when the block ends without an exception.

    Args:
        out: the file's name; one that is there already is replaced.
        source: what it is made from, which may not be the same file.

    Raises:
        ToolFailure: there can be no such file.
    """
    if out.exists() and source.exists() and out.samefile(source):
        raise Usage(f"{out} is the file that is read; give the new one another name")
    if out.is_dir():
        raise ToolFailure(f"{out}: is a directory")
    try:
        # In a directory of its own beside it: some writers add files, and the rename must not cross file systems.
        directory = tempfile.TemporaryDirectory(prefix=f".{out.name}-", dir=out.parent)
    except OSError as error:
        raise ToolFailure(f"{out}: cannot be written: {error.strerror}") from error
    with directory as folder:
        part = Path(folder) / out.name
        yield part
        part.replace(out)
