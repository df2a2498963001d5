"""Joins predictions and feedback by uuid, whatever their order, in a temporary file instead of in memory."""

import json
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from catfish_server.predictions.record import SCHEMA

COLUMNS = ("uuid", "image", "label", "prediction", "probability", "time", "model", "revision")
"""Of a training set."""

_TABLES = """
CREATE TABLE predictions (uuid TEXT PRIMARY KEY, image, prediction, probability, time, model, revision) WITHOUT ROWID;
CREATE TABLE feedback (uuid TEXT PRIMARY KEY, label, time) WITHOUT ROWID;
"""


class Damaged(Exception):
    """The line is no record of the prediction log."""


@dataclass(slots=True)
class Counts:
    """What was read and written."""

    predictions: int = 0
    feedback: int = 0
    damaged: int = 0
    rows: int = 0


class TrainingSet:
    """Records by uuid; of several feedbacks the last one counts, and a record that came twice is one.

    Args:
        path: of a new file for the join.
    """

    def __init__(self, path: Path) -> None:
        self._database = sqlite3.connect(path)
        self._database.executescript(f"PRAGMA journal_mode=OFF; PRAGMA synchronous=OFF; {_TABLES}")

    def add(self, line: bytes) -> str:
        """Adds one line; returns its kind.

        Raises:
            Damaged: it is no record.
        """
        try:
            record = json.loads(line)
        except (ValueError, RecursionError):
            raise Damaged("is not JSON") from None
        if not isinstance(record, dict) or record.get("schema") != SCHEMA:
            raise Damaged(f"is no record of schema {SCHEMA}")
        try:
            return self._insert(record)
        except (UnicodeEncodeError, OverflowError):  # half a surrogate pair; an integer of more than 64 bits
            raise Damaged("holds a value that no record has") from None

    def _insert(self, record: dict[str, object]) -> str:
        kind = record.get("kind")
        if kind == "prediction":
            _check(record, "uuid", "time", "image", "prediction")
            names = ("uuid", "image", "prediction", "probability", "time", "model", "revision")
            row = [_scalar(record.get(name)) for name in names]
            self._database.execute("INSERT OR IGNORE INTO predictions VALUES (?, ?, ?, ?, ?, ?, ?)", row)
        elif kind == "feedback":
            _check(record, "uuid", "time", "label")
            self._database.execute(
                "INSERT INTO feedback VALUES (?, ?, ?) ON CONFLICT (uuid) DO UPDATE "
                "SET label = excluded.label, time = excluded.time WHERE excluded.time >= feedback.time",
                [record["uuid"], record["label"], record["time"]],
            )
        else:
            raise Damaged("is neither a prediction nor a feedback")
        return str(kind)

    def rows(self, *, unlabelled: bool = False) -> Iterator[dict[str, object]]:
        """The predictions in the order of time, each with its label.

        Args:
            unlabelled: whether those without feedback are there too; their label is None.
        """
        join = "LEFT JOIN" if unlabelled else "JOIN"
        columns = ", ".join(
            "feedback.label" if name == "label" else f"predictions.{name}" for name in COLUMNS
        )
        query = (
            f"SELECT {columns} FROM predictions {join} feedback ON feedback.uuid = predictions.uuid "  # noqa: S608 (constants)
            "ORDER BY predictions.time, predictions.uuid"
        )
        for row in self._database.execute(query):
            yield dict(zip(COLUMNS, row, strict=True))

    def close(self) -> None:
        """Lets go of the file."""
        self._database.close()


def _check(record: dict[str, object], *names: str) -> None:
    for name in names:
        if not isinstance(record.get(name), str):
            raise Damaged(f"has no {name}")


def _scalar(value: object) -> object:
    return value if isinstance(value, str | int | float) else None
