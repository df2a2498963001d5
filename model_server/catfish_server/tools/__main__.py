"""`catfish VERB …`: one command for what happens to a model between its training and its service."""

import argparse
import importlib
import logging
import os
import sys
from collections.abc import Sequence
from typing import Protocol, cast

from catfish_server.errors import StartupFailure
from catfish_server.tools import command_line
from catfish_server.tools.errors import INTERRUPTED, Missing, ToolFailure, translated
from catfish_server.tools.report import Report

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
    sys.exit(run(sys.argv[1:]))


def run(argv: Sequence[str]) -> int:
    """Runs one verb; returns the exit code. Nothing that goes wrong is more than one line."""
    arguments = command_line.parser().parse_args(argv)
    report = Report(as_json=arguments.json)
    try:
        return _verb(arguments.verb).run(arguments, report)
    except BrokenPipeError:  # the reader, such as head, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        return INTERRUPTED
    except Exception as error:
        failure = _failure(error)
        if failure is None:
            logger.debug("The traceback of what ended the command:", exc_info=True)
            failure = ToolFailure(f"unexpected {type(error).__name__}: {_first_line(error)}")
        report.clear()
        sys.stderr.write(f"catfish: {failure}\n")
        return failure.exit_code


def _verb(name: str) -> Verb:
    """The module of a verb, which is imported when it is asked for: it needs packages of the extras, and seconds."""
    return cast("Verb", importlib.import_module(f"catfish_server.tools.verbs.{name}"))


def _failure(error: Exception) -> ToolFailure | None:
    """What a person is told of an error that can be expected; None for any other."""
    match error:
        case ToolFailure():
            return error
        case StartupFailure():
            return translated(error)
        case ModuleNotFoundError() if _is_of_an_extra(package := (error.name or "").partition(".")[0]):
            return Missing(package)
        case OSError() if error.strerror:
            return ToolFailure(f"{error.filename}: {error.strerror}" if error.filename else error.strerror)
    return None


def _is_of_an_extra(package: str) -> bool:
    return package not in {"", "catfish_server", *sys.stdlib_module_names}


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [""])[0][:300]


if __name__ == "__main__":
    main()
