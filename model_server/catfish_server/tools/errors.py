"""Why a verb could not do what it was asked: one sentence for the person at the terminal, and the exit code."""

import re
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

from catfish_server.errors import InvalidSpec, StartupFailure, UnsupportedFormat
from catfish_server.weights import exhausted

DONE, WORSE, USAGE, UNUSABLE = 0, 1, 2, 3
"""Exit codes: done; checked and refused; wrong command line (argparse's own); a file cannot be used."""

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


STORAGE = ("give the pod more ephemeral storage", "make room, or set TMPDIR to a directory that has some")
"""What is said of a disk that is full in a pod, and here: a pickle is written once more as it is read."""

OPTION = "--"
"""What an option's name begins with, unless it is one of `verify` about the older file: `--against-`."""


LONGEST = 300
"""Characters that are told of a cause in somebody else's words."""

COLOURS = re.compile(r"\x1b\[[0-9;]*m")
"""Of a terminal; torch.onnx writes them into its errors."""

RAISED = re.compile(r"^[\w.]*(?:Error|Exception): (.+)$", re.MULTILINE)
"""A line of a traceback that says what was raised."""

PLACES = re.compile(
    r"^\[enforce fail at [^\]]*\]\s*\.?\s*|^\[ONNXRuntimeError\] : \d+ : \w+ : |\S*/onnxruntime/\S+:\d+ .*?\) (?=[A-Z])"
)
"""Where in C++ something was noticed, which says nothing to anybody here."""

SENTENCES = (RuntimeError, ValueError, OSError, ImportError)
"""Of Python's own errors those whose text says what is wrong; that of a KeyError is a key. Libraries' texts do."""


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

    text = str(failure).removeprefix("spec.weights.url: ").replace(*STORAGE)
    # A message's prefix is the field; in the middle of a sentence it is an advice to set it.
    text = re.sub("|".join(re.escape(field) for field in FLAGS), flag, text)
    return ToolFailure(text + _because(failure))


def _because(failure: StartupFailure) -> str:
    """What torch or ONNX Runtime said, in brackets: a server writes it to its log, and this command has none."""
    error: BaseException | None = failure
    while isinstance(error, StartupFailure):
        error = error.__cause__
    if (
        error is None
        or not isinstance(failure, InvalidSpec | UnsupportedFormat)
        or str(error) in str(failure)
    ):
        return ""
    return f" ({cause(error)})"


def failure_of(error: Exception) -> ToolFailure:
    """What a person is told of any error that ends a verb."""
    match error:
        case ToolFailure():
            return error
        case StartupFailure():
            return translated(error)
        case ModuleNotFoundError() if _is_of_an_extra(package := (error.name or "").partition(".")[0]):
            return Missing(package)
    return ToolFailure(_sentence(error))


def _sentence(error: Exception) -> str:
    if exhausted.is_memory(error):
        return f"there is not enough memory here ({cause(error)})"
    if isinstance(error, ImportError):
        return f"a package cannot be imported ({cause(error)}): {PIP_LINE} --force-reinstall"
    if isinstance(error, OSError) and error.errno in exhausted.DISK_FULL:
        return f"{_place_of(error)}: the disk is full; make room, or set TMPDIR to a directory that has some"
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    return cause(error)


def _place_of(error: OSError) -> str:
    """The directory that a person knows; those in the one for temporary files are gone by now."""
    try:
        temporary = tempfile.gettempdir()
    except OSError:  # no place for temporary files has any room, which is how it looks for one
        temporary = "TMPDIR"
    name = str(error.filename or temporary)
    return temporary if name.startswith(temporary) else str(Path(name).parent)


def _is_of_an_extra(package: str) -> bool:
    return package not in {"", "catfish_server", *sys.stdlib_module_names}


def cause(error: BaseException) -> str:
    """What went wrong, in one line: without stacks, excerpts of source and places in somebody's C++.

    Args:
        error: of torch, ONNX, ONNX Runtime, or any other.
    """
    while type(error).__module__.startswith("torch.onnx") and error.__cause__ is not None:
        error = error.__cause__  # it advises its own developers
    text = COLOURS.sub("", str(error))
    # TorchScript says where first, and what last; ONNX Runtime begins another line for which; others say what first.
    raised = RAISED.findall(text) if "Traceback of TorchScript" in text else []
    whole = [one_line(text)] if text.startswith("[ONNXRuntimeError]") else text.splitlines()
    lines = filter(None, map(str.strip, raised[-1:] or whole))
    line = PLACES.sub("", one_line(next(lines, ""))).strip()
    bare = type(error).__module__ == "builtins" and not isinstance(error, SENTENCES)
    told = f"{type(error).__name__}: {line}".removesuffix(": ") if bare or not line else line
    return told if len(told) <= LONGEST else f"{told[: LONGEST - 2]} …"


def one_line(text: str) -> str:
    """The text on one line of a terminal, whatever is in it."""
    joined = " ".join(filter(None, map(str.strip, text.splitlines())))
    return "".join(sign if sign.isprintable() else sign.encode("unicode_escape").decode() for sign in joined)
