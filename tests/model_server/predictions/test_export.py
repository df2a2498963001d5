import csv
import gzip
import json
import os
import re
import subprocess
import sys

import pytest

from catfish_server.predictions import __main__ as command
from catfish_server.predictions import sources
from catfish_server.predictions.record import encode

from .conftest import ORIGIN, record


def predicted(uuid, seconds=0.0, **fields):
    return encode(record(uuid=uuid, time=seconds, probability=0.5, **fields), ORIGIN)


def told(uuid, label, seconds):
    made = record(kind="feedback", uuid=uuid, label=label, time=seconds, image=None, prediction=None)
    return encode(made, ORIGIN)


def exported(capsys, source, out, *options, code=0):
    """The rows, and what was said."""
    assert command.run(["export", str(source), str(out), *options], {}) == code
    said = capsys.readouterr().err
    if code:
        return None, said
    if out.suffix == ".csv":
        with out.open(newline="") as file:
            return list(csv.DictReader(file)), said
    return [json.loads(line) for line in out.read_text().splitlines()], said


def test_a_row_is_a_prediction_with_its_feedback(tmp_path, capsys):
    log = tmp_path / "log.jsonl"
    log.write_bytes(predicted("a", 1.5) + predicted("b", 2.0) + told("a", "fish", 3.0))
    rows, said = exported(capsys, log, tmp_path / "train.csv")
    assert rows == [
        {
            "uuid": "a",
            "image": "https://example.com/a.jpg",
            "label": "fish",
            "prediction": "cat",
            "probability": "0.5",
            "time": "1970-01-01T00:00:01.500000Z",
            "model": "cat",
            "revision": "cat-0123456789",
        }
    ]
    assert said == "1 rows from 2 predictions and 1 feedbacks; 0 damaged lines were left out\n"


def test_predictions_without_feedback_are_there_where_they_are_asked_for(tmp_path, capsys):
    log = tmp_path / "log.jsonl"
    log.write_bytes(predicted("a", 2.0) + predicted("b", 1.0) + told("a", "fish", 3.0))
    rows, _ = exported(capsys, log, tmp_path / "train.jsonl", "--unlabelled")
    assert [(row["uuid"], row.get("label")) for row in rows] == [("b", None), ("a", "fish")]


@pytest.mark.parametrize("order", [(0, 1, 2, 3), (3, 2, 1, 0), (1, 3, 0, 2)])
def test_the_last_feedback_wins_whatever_comes_first_in_the_log(tmp_path, capsys, order):
    lines = [predicted("a"), told("a", "cat", 1.0), told("a", "fish", 3.0), told("a", "dog", 2.0)]
    (tmp_path / "log.jsonl").write_bytes(b"".join(lines[index] for index in order))
    rows, _ = exported(capsys, tmp_path / "log.jsonl", tmp_path / "train.jsonl")
    assert [row["label"] for row in rows] == ["fish"]


def test_a_record_that_came_twice_is_one_row(tmp_path, capsys):
    (tmp_path / "log.jsonl").write_bytes((predicted("a") + told("a", "fish", 1.0)) * 2)
    assert len(exported(capsys, tmp_path / "log.jsonl", tmp_path / "train.csv")[0]) == 1


def test_a_folder_is_read_whole_compressed_or_not_and_in_any_order(tmp_path, capsys):
    folder = tmp_path / "logs" / "date=2026-01-02"
    folder.mkdir(parents=True)
    (folder / "a.jsonl.gz").write_bytes(gzip.compress(told("a", "fish", 1.0) + told("b", "cat", 1.0)))
    (folder / "b.jsonl").write_bytes(predicted("b", 1.0))
    (tmp_path / "logs" / "b.jsonl.1").write_bytes(predicted("a", 2.0))
    rows, _ = exported(capsys, tmp_path / "logs", tmp_path / "train.jsonl")
    assert [(row["uuid"], row["label"]) for row in rows] == [("b", "cat"), ("a", "fish")]


DAMAGED = [
    (b"{\n", "is not JSON"),
    (b'{"schema": 1, "kind": "predi', "is not JSON"),
    (b"[" * 100_000 + b"\n", "is not JSON"),
    (b"\xff\xfe\n", "is not JSON"),
    (b"[1]\n", "is no record of schema 1"),
    (b'{"schema": 2, "kind": "prediction"}\n', "is no record of schema 1"),
    (b'{"schema": 1, "kind": "gossip"}\n', "is neither a prediction nor a feedback"),
    (b'{"schema": 1, "kind": "prediction", "time": "x"}\n', "has no uuid"),
    (b'{"schema": 1, "kind": "feedback", "uuid": "a", "time": "x", "label": ["fish"]}\n', "has no label"),
    (
        b'{"schema": 1, "kind": "feedback", "uuid": "\\ud800", "time": "x", "label": "fish"}\n',
        "holds a value",
    ),
    (predicted("b").replace(b"0.5", b"9" * 20), "holds a value that no record has"),
]


@pytest.mark.parametrize(("line", "why"), DAMAGED, ids=[why for _, why in DAMAGED])
def test_a_damaged_line_is_named_and_counted_and_stops_nothing(tmp_path, capsys, line, why):
    log = tmp_path / "log.jsonl"
    log.write_bytes(predicted("a") + told("a", "fish", 1.0) + line)
    rows, said = exported(capsys, log, tmp_path / "train.csv")
    assert len(rows) == 1
    assert said.splitlines()[0].startswith(f"{log}:3: {why}")
    assert said.endswith("1 damaged lines were left out\n")


def test_a_line_without_end_is_read_over(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(sources, "MAX_LINE_BYTES", 1000)
    log = tmp_path / "log.jsonl"
    log.write_bytes(b"x" * 5000 + b"\n" + predicted("a") + told("a", "fish", 1.0))
    rows, said = exported(capsys, log, tmp_path / "train.csv")
    assert len(rows) == 1
    assert said.splitlines()[0] == f"{log}:1: is too long"


def test_a_compressed_file_that_was_cut_gives_what_it_has(tmp_path, capsys):
    (tmp_path / "b.jsonl").write_bytes(predicted("a") + told("a", "fish", 1.0))
    whole = gzip.compress(b"".join(predicted(f"{number}") for number in range(5000)))
    (tmp_path / "a.jsonl.gz").write_bytes(whole[: len(whole) // 2])
    rows, said = exported(capsys, tmp_path, tmp_path.parent / f"{tmp_path.name}.csv")
    assert len(rows) == 1
    assert re.match(r".*a\.jsonl\.gz:\d+: cannot be read any further", said)


def test_of_many_damaged_lines_only_the_first_are_named(tmp_path, capsys):
    (tmp_path / "log.jsonl").write_bytes(b"x\n" * 1000)
    _, said = exported(capsys, tmp_path / "log.jsonl", tmp_path / "train.csv")
    assert len(said.splitlines()) == 21
    assert "1000 damaged lines" in said


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("nothing.jsonl", "nothing.jsonl: No such file or directory"),
        ("ftp://a/b", "ftp:// is not supported"),
        ("s3://me:hunter2@logs", "must hold no user name or password"),
    ],
)
def test_a_source_that_cannot_be_read_leaves_no_training_set(tmp_path, capsys, source, said):
    out = tmp_path / "train.csv"
    _, told_of = exported(capsys, source, out, code=1)
    assert said in told_of
    assert "hunter2" not in told_of
    assert "Traceback" not in told_of
    assert list(tmp_path.iterdir()) == []


def test_a_training_set_that_cannot_be_written_is_told_of(tmp_path, capsys):
    (tmp_path / "log.jsonl").write_bytes(predicted("a"))
    _, said = exported(capsys, tmp_path / "log.jsonl", tmp_path / "nowhere" / "train.csv", code=1)
    assert said.endswith("train.csv: No such file or directory\n")


def test_a_folder_without_files_is_no_source(tmp_path, capsys):
    (tmp_path / "logs" / "date=2026-01-02").mkdir(parents=True)
    _, said = exported(capsys, tmp_path / "logs", tmp_path / "train.csv", code=1)
    assert said == f"catfish-log: {tmp_path / 'logs'}: there is no file in this folder\n"
    assert not (tmp_path / "train.csv").exists()


LITTLE_ROOM = """
import resource, signal, sys
from catfish_server.predictions import __main__ as command

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, resource.RLIM_INFINITY))
sys.exit(command.run(["export", *sys.argv[1:]], {}))
"""


@pytest.mark.parametrize(
    ("image", "said"),
    [("x" * 100, "train.csv: File too large"), ("x" * 5000, "the join has no room there")],
    ids=["out", "join"],
)
def test_a_disk_that_is_full_is_told_of_and_leaves_nothing(tmp_path, image, said):
    log = tmp_path / "log.jsonl"
    log.write_bytes(b"".join(predicted(f"{n}", image=image) + told(f"{n}", "fish", 1.0) for n in range(2000)))
    (tmp_path / "join").mkdir()
    done = subprocess.run(
        [sys.executable, "-c", LITTLE_ROOM, log, tmp_path / "train.csv"],
        capture_output=True,
        text=True,
        check=False,
        env={"PYTHONPATH": os.pathsep.join(sys.path), "TMPDIR": str(tmp_path / "join")},
    )
    assert (done.returncode, said in done.stderr) == (1, True), done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert [item for item in tmp_path.rglob("*") if item.is_file()] == [log]


def test_a_name_that_tells_no_format_is_refused(tmp_path):
    with pytest.raises(SystemExit) as ended:
        command.run(["export", "log.jsonl", str(tmp_path / "train.parquet")], {})
    assert ended.value.code == 2
