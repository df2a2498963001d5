"""Lines of JSON on standard output, where the container's log is collected."""

import os

from catfish_server.predictions.buffer import Limits
from catfish_server.predictions.sinks.sink import Batch, Unavailable
from catfish_server.telemetry import output


class Stdout:
    """Writes to a file descriptor.

    Not through `sys.stdout`: a reader that has stopped reading would then hold its lock, and the process could not end.
    A line is written without a line of the access log in its middle.

    Args:
        descriptor: to write to.
    """

    limits = Limits(records=256, size=1 << 20, linger_seconds=0.0)

    def __init__(self, descriptor: int = 1) -> None:
        self._descriptor = descriptor
        self._number = -1
        self._lines_written = 0
        self._bytes_written = 0  # of the line that comes next

    def write(self, batch: Batch) -> int:
        """Writes one line after another; see `Sink`."""
        if batch.number != self._number:
            self._number, self._lines_written, self._bytes_written = batch.number, 0, 0
        try:
            while self._lines_written < len(batch.lines):
                with output.whole_lines:
                    self._write_line(batch.lines[self._lines_written].data)
                self._lines_written, self._bytes_written = self._lines_written + 1, 0
        except OSError as error:
            raise Unavailable(
                f"standard output cannot be written to: {os.strerror(error.errno or 0)}"
            ) from error
        return 0

    def _write_line(self, line: bytes) -> None:
        while self._bytes_written < len(line):
            self._bytes_written += os.write(self._descriptor, line[self._bytes_written :])

    def close(self) -> None:
        """Leaves standard output to the process."""
