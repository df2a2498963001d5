"""`catfish-log export SOURCE OUT`: from a prediction log and the feedback in it to a training set."""

import argparse
import csv
import json
import os
import sqlite3
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from catfish_server.errors import InvalidSpec
from catfish_server.predictions import sources
from catfish_server.predictions.training import COLUMNS, Counts, Damaged, TrainingSet
from catfish_server.settings import for_stores

MAX_NAMED = 20
"""Damaged lines that are told of one by one."""


def main() -> None:
    """Runs the command and ends the process with its exit code."""
    sys.exit(run(sys.argv[1:], os.environ))


def run(arguments: Sequence[str], env: Mapping[str, str]) -> int:
    """Runs one command: 0 when there is a training set, damaged lines or not; 1 when there is none."""
    asked = _parser().parse_args(arguments)
    try:
        counts = export(
            asked.source,
            Path(asked.out),
            endpoint=asked.endpoint,
            unlabelled=asked.unlabelled,
            env=for_stores(env),
        )
    except (InvalidSpec, sources.Unreadable) as error:
        _say(f"catfish-log: {str(error).removeprefix('spec.logging.predictions.url: ')}")
        return 1
    except OSError as error:
        _say(f"catfish-log: {asked.out}: {error.strerror}")
        return 1
    except sqlite3.Error as error:
        _say(
            f"catfish-log: {tempfile.gettempdir()}: the join has no room there, or fails ({error}); set TMPDIR"
        )
        return 1
    _say(
        f"{counts.rows} rows from {counts.predictions} predictions and {counts.feedback} feedbacks; "
        f"{counts.damaged} damaged lines were left out"
    )
    return 0


def export(
    source: str, out: Path, *, endpoint: str | None, unlabelled: bool, env: Mapping[str, str]
) -> Counts:
    """Writes the training set of a log; a file that is half written never has the name of a whole one.

    Args:
        source: see `sources.lines`.
        out: ends in `.csv` or `.jsonl`.
        endpoint: of a store that is not the cloud's own.
        unlabelled: whether predictions without feedback are there too.
        env: with the credentials of the source.

    Raises:
        InvalidSpec: the source is none.
        Unreadable: it cannot be read.
        OSError: the training set cannot be written.
        sqlite3.Error: the temporary file of the join cannot be.
    """
    counts = Counts()
    with tempfile.TemporaryDirectory(prefix="catfish-log-") as folder:
        joined = TrainingSet(Path(folder) / "join.sqlite")
        try:
            _read(joined, source, counts, endpoint=endpoint, env=env)
            _write(out, _counted(joined.rows(unlabelled=unlabelled), counts))
        finally:
            joined.close()
    return counts


def _write(out: Path, rows: Iterator[dict[str, object]]) -> None:
    part = out.with_name(f".{out.name}.part")
    write = _write_csv if out.suffix == ".csv" else _write_jsonl
    try:
        write(part, rows)
        part.replace(out)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def _read(
    joined: TrainingSet, source: str, counts: Counts, *, endpoint: str | None, env: Mapping[str, str]
) -> None:
    for found in sources.lines(source, endpoint=endpoint, env=env):
        problem, kind = found.problem, ""
        if found.data is not None:
            try:
                kind = joined.add(found.data)
            except Damaged as damage:
                problem = str(damage)
        if kind == "prediction":
            counts.predictions += 1
        elif kind:
            counts.feedback += 1
        else:
            counts.damaged += 1
            if counts.damaged <= MAX_NAMED:
                _say(f"{found.place}: {problem}")


def _counted(rows: Iterator[dict[str, object]], counts: Counts) -> Iterator[dict[str, object]]:
    for row in rows:
        counts.rows += 1
        yield row


def _write_csv(path: Path, rows: Iterator[dict[str, object]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        writer.writerows(rows)


def _write_jsonl(path: Path, rows: Iterator[dict[str, object]]) -> None:
    with path.open("w", encoding="utf-8") as file:
        for row in rows:
            present = {name: value for name, value in row.items() if value is not None}
            file.write(json.dumps(present, ensure_ascii=False) + "\n")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="catfish-log", description="Work with a prediction log.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    export_command = commands.add_parser(
        "export",
        help="write the predictions that have feedback as a training set",
        description="Joins predictions and feedback by uuid; of several feedbacks the last one counts. The store's "
        "credentials are read from the environment, as the server reads them.",
    )
    export_command.add_argument(
        "source", metavar="SOURCE", help="a file, a folder, s3://, gs://, az:// or kafka://"
    )
    export_command.add_argument("out", metavar="OUT", type=_out, help="a file that ends in .csv or .jsonl")
    export_command.add_argument("--endpoint", metavar="URL", help="of a store that is not the cloud's own")
    export_command.add_argument(
        "--unlabelled", action="store_true", help="write predictions without feedback too"
    )
    return parser


def _out(text: str) -> str:
    if not text.endswith((".csv", ".jsonl")):
        raise argparse.ArgumentTypeError("must end in .csv or .jsonl")
    return text


def _say(text: str) -> None:
    print(text, file=sys.stderr)  # noqa: T201 (a command-line tool)


if __name__ == "__main__":
    main()
