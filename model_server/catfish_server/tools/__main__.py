"""`catfish VERB …`: one command for what happens to a model between its training and its service."""

import argparse
import importlib
import logging
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol, cast

from catfish_server.tools import command_line
from catfish_server.tools.errors import ToolFailure, failure_of, one_line
from catfish_server.tools.report import Report
from catfish_server.tools.stopping import Signals, Stopped

logger = logging.getLogger(__name__)


class Verb(Protocol):
    """What a module of `verbs` has."""

    def run(self, arguments: argparse.Namespace, report: Report) -> int:
        """Does it; returns the exit code.

        Raises:
            ToolFailure: it cannot be done.
        """


def main() -> None:
    """Runs the command and ends the process with its exit code."""
    signals = Signals()
    signals.heed()
    sys.exit(run(sys.argv[1:], signals))


def run(argv: Sequence[str], signals: Signals | None = None) -> int:
    """Runs one verb; returns the exit code. Nothing that goes wrong is more than one line.

    Args:
        argv: without the name of the command.
        signals: that end it; None: those are the caller's.
    """
    signals = signals or Signals()
    report = Report(as_json="--json" in argv, check=signals.check)
    try:
        with _logging_to(report):
            arguments = command_line.parser().parse_args(argv)
            return _verb(arguments.verb).run(arguments, report)
    except Stopped as stopped:
        return _failed(report, stopped)
    except Exception as error:
        logger.debug("The traceback of what ended the command:", exc_info=True)
        return _failed(report, signals.stopped or failure_of(error))


def _failed(report: Report, failure: ToolFailure | Stopped) -> int:
    report.failure(one_line(str(failure)), failure.exit_code)
    return failure.exit_code


def _verb(name: str) -> Verb:
    """The module of a verb, which is imported when it is asked for: it needs packages of the extras, and seconds."""
    return cast("Verb", importlib.import_module(f"catfish_server.tools.verbs.{name}"))


@contextmanager
def _logging_to(report: Report) -> Iterator[None]:
    """Makes notes beside the result of what the server's code warns of; a failure says the same as its cause.

    Without a handler, Python writes to standard error what any package warns of.
    """

    class Notes(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            report.aside(one_line(record.getMessage()))

    own, nowhere, notes = logging.getLogger("catfish_server"), logging.NullHandler(), Notes(logging.WARNING)
    logging.root.addHandler(nowhere)
    own.addHandler(notes)
    try:
        yield
    finally:
        own.removeHandler(notes)
        logging.root.removeHandler(nowhere)


if __name__ == "__main__":
    main()
