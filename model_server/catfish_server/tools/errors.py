"""Why a verb could not do what it was asked: one sentence for the person at the terminal, and the exit code."""

import re
from collections.abc import Mapping
from typing import ClassVar

from catfish_server.errors import StartupFailure

DONE, WORSE, USAGE, UNUSABLE = 0, 1, 2, 3
"""Exit codes: done; checked and refused; wrong command line (argparse's own); a file cannot be used."""

INTERRUPTED = 130
"""What a shell says of a program that SIGINT ended."""

PIP_LINE = "pip install 'catfish[server]'"
"""Installs all that the verbs need."""

FLAGS: Mapping[str, str] = {
    "spec.weights.sha256": "--trust",
    "spec.model.architecture": "--architecture",
    "spec.model.classes": "--classes",
    "spec.model.imageSize": "--image-size",
    "spec.model.mean": "--mean",
    "spec.model.std": "--std",
}
"""What is said on this command line by the flag is said in a `CatfishModel` by the field."""


OPTION = "--"
"""What an option's name begins with, unless it is one of `verify` about the older file: `--against-`."""


class ToolFailure(Exception):
    """The verb cannot do it; the text is one sentence that names the cause and what to do.

    Attributes:
        exit_code: of the process.
    """

    exit_code: ClassVar[int] = UNUSABLE


class Refused(ToolFailure):
    """It was done and checked, and the result is not good enough to be kept."""

    exit_code = WORSE


class Usage(ToolFailure):
    """The command line does not fit the file that it names."""

    exit_code = USAGE


class Missing(ToolFailure):
    """A package that the verb needs is not installed.

    Args:
        package: as it is imported.
    """

    def __init__(self, package: str) -> None:
        super().__init__(f"this needs {package}, which is not installed: {PIP_LINE}")
        self.package = package


def translated(failure: StartupFailure, option: str = OPTION) -> ToolFailure:
    """What ends a server's start-up, in the words of this command line.

    Args:
        failure: of the server.
        option: what the names of the options begin with that say of this file what `spec.model` does.
    """

    def flag(found: re.Match[str]) -> str:
        name = FLAGS[found[0]]
        return name.replace(OPTION, option, 1) if found[0].startswith("spec.model.") else name

    text = str(failure).removeprefix("spec.weights.url: ")
    # A message's prefix is the field; in the middle of a sentence it is an advice to set it.
    return ToolFailure(re.sub("|".join(re.escape(field) for field in FLAGS), flag, text))


def first_line(error: BaseException) -> str:
    """What torch says first; the rest are excerpts of source."""
    lines = (line.strip() for line in str(error).splitlines())
    return next(filter(None, lines), type(error).__name__)[:200]
