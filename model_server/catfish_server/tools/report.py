"""What a verb says: how far it is to a person who waits, and its result to a person or a program."""

import contextlib
import io
import json
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import TextIO

from catfish_server.tools.errors import ToolFailure

Value = str | int | float | bool | None
Result = Mapping[str, "Value | Sequence[Value] | Result | Sequence[Result]"]
"""Names in snake_case; a value is one word or number, a list of them, or one or many of the same again."""


class Report:
    """Progress on one stream and results on the other.

    Args:
        as_json: whether the result is one JSON object instead of a table.
        out: for the result.
        err: for progress, where it is a terminal, and for notes.
        check: called at each progress; it raises what is to end the work.
    """

    def __init__(
        self,
        *,
        as_json: bool,
        out: TextIO | None = None,
        err: TextIO | None = None,
        check: Callable[[], None] = lambda: None,
    ) -> None:
        self._check = check
        self._as_json = as_json
        self._out = out or sys.stdout or io.StringIO()  # None where the descriptor is closed
        self._err = err or sys.stderr or io.StringIO()
        self._shown = 0
        self.notes: list[str] = []
        self._asides: list[str] = []

    def progress(self, text: str, done: int | None = None, total: int | None = None) -> None:
        """Says what is being done now, in the place of what was said last; only to a terminal.

        Args:
            text: such as "tracing the model".
            done: how much of it, None: nobody knows.
            total: of `done`.
        """
        self._check()
        if not self._err.isatty():
            return
        line = text if done is None else f"{text}: {done}/{total}"
        self._complain(f"\r{line:<{self._shown}}")
        self._shown = len(line)

    def note(self, text: str) -> None:
        """Says something that the user should know; the result in JSON has all of it under `notes`."""
        self.clear()
        self.notes.append(text)
        if not self._as_json:
            self._complain(f"note: {text}\n")

    def aside(self, text: str) -> None:
        """Keeps something for a note beside the result; where there is none, nobody needs it."""
        if text not in self._asides:
            self._asides.append(text)

    def result(self, result: Result) -> None:
        """Prints the result, once.

        Raises:
            ToolFailure: it cannot be printed; a reader that has seen enough, such as head, is none.
        """
        self.clear()
        for text in self._asides:
            self.note(text)
        whole = {**result, "notes": self.notes} if self.notes else result
        text = self._json(whole) if self._as_json else "".join(f"{line}\n" for line in table(result))
        try:
            self._print(text)
        except BrokenPipeError:
            return
        except OSError as error:
            raise ToolFailure(f"standard output cannot be written: {error.strerror}") from error

    def failure(self, text: str, exit_code: int) -> None:
        """Says why there is no result: one line, and with `--json` the same as the object that a program waits for."""
        self.clear()
        self._complain(f"catfish: {text}\n")
        if self._as_json:
            notes = {"notes": self.notes} if self.notes else {}
            with contextlib.suppress(OSError):
                self._print(self._json({"error": text, "exit_code": exit_code, **notes}))

    def clear(self) -> None:
        """Takes away what `progress` has left on the terminal."""
        if self._shown:
            self._complain(f"\r{' ' * self._shown}\r")
            self._shown = 0

    def _json(self, whole: Result) -> str:
        """An object as a person can read it, where the output has all of its signs."""
        text = json.dumps(whole, indent=2, ensure_ascii=False)
        return (text if text == self._printable(text) else json.dumps(whole, indent=2)) + "\n"

    def _printable(self, text: str) -> str:
        """The text with escapes for what the output has no signs for: not each is UTF-8, nor each name of a file."""
        encoding = self._out.encoding or "utf-8"
        return text.encode(encoding, "backslashreplace").decode(encoding)

    def _print(self, text: str) -> None:
        try:
            self._out.write(self._printable(text))
            self._out.flush()
        except OSError:
            if self._out is sys.stdout:  # else Python complains once more as it ends
                os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise

    def _complain(self, text: str) -> None:
        """Writes to standard error; where nobody reads it the work goes on."""
        with contextlib.suppress(OSError):
            self._err.write(text)
            self._err.flush()


def table(result: Result) -> list[str]:
    """The lines of a result: a name and its value in two columns, and tables of several columns below their name."""
    width = max((len(_label(name)) for name in result), default=0) + 2
    lines: list[str] = []
    for name, value in result.items():
        if isinstance(value, Mapping):
            lines += ["", f"{_label(name)}:", *(f"  {line}" for line in table(value))]
        elif isinstance(value, str) and "\n" in value:
            lines += ["", f"{_label(name)}:", *(f"  {line}".rstrip() for line in value.splitlines())]
        elif _is_rows(value):
            lines += ["", f"{_label(name)}:", *(f"  {line}" for line in _columns(value))]
        else:
            lines.append(f"{_label(name):<{width}}{_text(value)}".rstrip())
    return lines


def _is_rows(value: object) -> bool:
    return isinstance(value, list | tuple) and bool(value) and all(isinstance(row, Mapping) for row in value)


def _columns(rows: object) -> list[str]:
    assert isinstance(rows, list | tuple)  # noqa: S101 (_is_rows has looked)
    names = list(rows[0])
    cells = [
        [_label(name).upper() for name in names],
        *([_text(row.get(name)) for name in names] for row in rows),
    ]
    widths = [max(len(line[column]) for line in cells) for column in range(len(names))]
    return [
        "   ".join(f"{cell:<{width}}" for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in cells
    ]


def _label(name: str) -> str:
    return name.replace("_", " ")


def _text(value: object) -> str:
    """A value as a person reads it."""
    match value:
        case None:
            return "-"
        case bool():
            return "yes" if value else "no"
        case float():
            return f"{value:.4g}"
        case int() if abs(value) >= 10_000:
            return f"{value:,}"
        case list() | tuple():
            return ", ".join(map(_text, value)) or "-"
    text = str(value)
    return text if text.isprintable() or "\n" in text else text.encode("unicode_escape").decode()
