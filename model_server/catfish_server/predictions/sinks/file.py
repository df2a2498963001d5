"""Lines of JSON in a file that is rotated: `predictions.jsonl`, then the older `predictions.jsonl.1`, and so on."""

import os
from pathlib import Path

from catfish_server.errors import InvalidSpec
from catfish_server.predictions.buffer import Limits
from catfish_server.predictions.destination import FIELD
from catfish_server.predictions.sinks.sink import Batch, Unavailable


class RotatingFile:
    """Appends whole lines to a file; one process a file.

    Not `logging.handlers.RotatingFileHandler`: it swallows what it cannot write, and leaves half a line behind where
    the disk is full.

    Args:
        path: of the file; its folder is made.
        max_bytes: beyond which a new file is begun.
        files: that are kept, the present one among them.

    Raises:
        InvalidSpec: there can be no such file.
    """

    limits = Limits(records=1000, size=4 << 20, linger_seconds=0.2)

    def __init__(self, path: Path, *, max_bytes: int, files: int) -> None:
        self._path, self._max_bytes, self._files = path, max_bytes, files
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._descriptor: int | None = self._open()
            self._mend()
        except OSError as error:
            raise InvalidSpec(f"{FIELD}: the file cannot be written: {_why(error)}") from error

    def write(self, batch: Batch) -> int:
        """Appends the batch, all of it or nothing; see `Sink`."""
        data = b"".join(line.data for line in batch.lines)
        try:
            if self._descriptor is not None and not os.fstat(self._descriptor).st_nlink:
                self.close()  # somebody has removed the file: what is written to it would be nowhere
            if self._descriptor is None:
                self._descriptor = self._open()
            before = os.fstat(self._descriptor).st_size
            if before and before + len(data) > self._max_bytes:
                self._rotate()
                before = 0
            try:
                _write_all(self._descriptor, data)
            except OSError:
                os.ftruncate(self._descriptor, before)
                raise
        except OSError as error:
            raise Unavailable(f"the file cannot be written: {_why(error)}") from error
        return 0

    def close(self) -> None:
        """Closes the file."""
        descriptor, self._descriptor = self._descriptor, None  # it is closed even where this fails: close(2)
        if descriptor is not None:
            os.close(descriptor)

    def _open(self) -> int:
        return os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o640)

    def _mend(self) -> None:
        """Ends the last line that a process left which was killed while it wrote."""
        with self._path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            if size and (file.seek(size - 1), file.read(1))[1] != b"\n" and self._descriptor is not None:
                os.write(self._descriptor, b"\n")

    def _rotate(self) -> None:
        self.close()
        # Only up to the first gap: a rotation that failed half-way has made room already, and goes on from there.
        numbers = range(1, self._files)
        gap = next((number for number in numbers if not self._numbered(number).exists()), self._files - 1)
        for number in range(gap, 0, -1):
            self._numbered(number - 1).replace(self._numbered(number))
        if self._files == 1:
            self._path.unlink()
        self._descriptor = self._open()

    def _numbered(self, number: int) -> Path:
        return self._path.with_name(f"{self._path.name}.{number}") if number else self._path


def _write_all(descriptor: int, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(descriptor, rest) :]


def _why(error: OSError) -> str:
    return os.strerror(error.errno or 0)
