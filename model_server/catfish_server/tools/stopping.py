"""Signals that ask the command to end: from the inside, which takes away what is half done."""

import signal
from types import FrameType
from typing import NoReturn

ENDED_BY_SIGNAL = 128
"""And the signal's number: what a shell says of a program that it ended."""

HEEDED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""Of Ctrl-C, of whatever runs the command, and of a terminal that is closed."""


class Stopped(KeyboardInterrupt):
    """A signal asks the command to end; no `except Exception` holds it up.

    Attributes:
        signal: which.
    """

    def __init__(self, number: int) -> None:
        self.signal = signal.Signals(number)
        super().__init__(f"stopped by {self.signal.name} before it was done")

    @property
    def exit_code(self) -> int:
        """Of the process."""
        return ENDED_BY_SIGNAL + self.signal


class Signals:
    """Whether a signal has come.

    Attributes:
        stopped: by the last one; None: none has come.
    """

    def __init__(self) -> None:
        self.stopped: Stopped | None = None

    def heed(self) -> None:
        """Raises Stopped in the main thread from now on when one of `HEEDED` comes."""
        for number in HEEDED:
            if signal.getsignal(number) is not signal.SIG_IGN:  # as nohup wants it
                signal.signal(number, self._stop)

    def check(self) -> None:
        """Raises Stopped where one has come: imports of large packages make another error of it, or none."""
        if self.stopped is not None:
            raise self.stopped

    def _stop(self, number: int, _frame: FrameType | None) -> NoReturn:
        if self.stopped is not None:  # whoever asks three times does not want to wait
            for each in HEEDED:
                signal.signal(each, signal.SIG_DFL)
        self.stopped = Stopped(number)
        raise self.stopped
