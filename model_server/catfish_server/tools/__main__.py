"""`catfish VERB …`: one command for what happens to a model between its training and its service."""

import argparse
import logging
import os
import sys
from collections.abc import Mapping, Sequence
from typing import Protocol

from catfish_server.errors import StartupFailure
from catfish_server.tools.errors import INTERRUPTED, Missing, ToolFailure, translated
from catfish_server.tools.report import Report
from catfish_server.tools.verbs import convert, digest, export, inspect, quantize, verify

logger = logging.getLogger(__name__)


class Verb(Protocol):
    """What a module of `verbs` has.

    Attributes:
        HELP: one line for `catfish --help`.
    """

    HELP: str

    def add(self, parser: argparse.ArgumentParser) -> None:
        """Tells the parser the verb's own arguments; `--json` is there already."""

    def run(self, arguments: argparse.Namespace, report: Report) -> int:
        """Does it; returns the exit code.

        Raises:
            ToolFailure: it cannot be done.
        """


# Modules are what the Protocol says; a verb imports what it needs itself, since torch takes seconds.
VERBS: Mapping[str, Verb] = {
    "export": export,
    "inspect": inspect,
    "digest": digest,
    "convert": convert,
    "quantize": quantize,
    "verify": verify,
}

NEEDED = frozenset(
    {"numpy", "onnx", "onnx_ir", "onnxruntime", "onnxscript", "PIL", "safetensors", "torch", "torchvision"}
)
"""Packages of the extras, by the name that is imported."""


def main() -> None:
    """Runs the command and ends the process with its exit code."""
    sys.exit(run(sys.argv[1:]))


def run(argv: Sequence[str]) -> int:
    """Runs one verb; returns the exit code. Nothing that goes wrong is more than one line."""
    arguments = parser().parse_args(argv)
    verb: Verb = arguments.verb
    report = Report(as_json=arguments.json)
    try:
        return verb.run(arguments, report)
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


def parser() -> argparse.ArgumentParser:
    """The command line."""
    whole = argparse.ArgumentParser(
        prog="catfish",
        description="Turns weights into what is served, and checks that it answers as the weights do.",
        epilog="Exit codes: 0 done, 1 checked and not good enough, 2 wrong command line, 3 a file cannot be used.",
        allow_abbrev=False,
    )
    verbs = whole.add_subparsers(metavar="VERB", required=True)
    for name, verb in VERBS.items():
        below = verbs.add_parser(name, help=verb.HELP, description=verb.HELP, allow_abbrev=False)
        verb.add(below)
        below.add_argument("--json", action="store_true", help="print the result as JSON")
        below.set_defaults(verb=verb)
    return whole


def _failure(error: Exception) -> ToolFailure | None:
    """What a person is told of an error that can be expected; None for any other."""
    match error:
        case ToolFailure():
            return error
        case StartupFailure():
            return translated(error)
        case ModuleNotFoundError() if (package := (error.name or "").partition(".")[0]) in NEEDED:
            return Missing(package)
        case OSError() if error.strerror:
            return ToolFailure(f"{error.filename}: {error.strerror}" if error.filename else error.strerror)
    return None


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [""])[0][:300]


if __name__ == "__main__":
    main()
