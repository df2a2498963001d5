"""The benchmark of starts compares each image with what it is to be compared with."""

import json

import pytest

from benchmarks import start

PT, SAFETENSORS, ONNX = start.STARTS[1:]


def seconds(*, bare, pt, safetensors, onnx):
    return {start.BARE: bare, PT: pt, SAFETENSORS: safetensors, ONNX: onnx}


GOOD = {"bare": [2.5, 2.0, 9.0], "pt": [9.0, 5.0, 6.0], "safetensors": [4.0] * 3, "onnx": [3.5, 3.0, 4.0]}


@pytest.mark.parametrize(
    ("changed", "missed"),
    [
        ({}, []),
        ({"pt": [5.1, 5.2, 5.3]}, [PT]),
        ({"bare": [1.5, 2.0, 2.0]}, [PT]),
        ({"onnx": [3.1, 3.2, 3.3]}, [ONNX]),
    ],
    ids=["all in time", "slower than the import and 3 s", "the best import counts", "slower than 3 s"],
)
def test_the_best_start_is_held_to_its_target(changed, missed):
    assert [row.start for row in start.judged(seconds(**GOOD | changed)) if row.missed] == missed


@pytest.mark.parametrize(("onnx", "code"), [([3.0], 0), ([3.1], 1)])
def test_a_target_that_is_missed_is_marked_and_told_by_the_exit_code(
    monkeypatch, tmp_path, capsys, onnx, code
):
    monkeypatch.setattr(start, "measure", lambda rounds: seconds(**GOOD | {"onnx": onnx * rounds}))
    monkeypatch.setattr(start, "TARGET", tmp_path / "bench" / "start.json")
    assert start.main(["--rounds", "2"]) == code
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[1:]] == ["server:", "server:", "server:", "server-onnx:"]
    assert ["MISSED" in line for line in lines[1:]] == [False, False, False, bool(code)]
    assert [row["missed"] for row in json.loads(start.TARGET.read_text())] == [
        False,
        False,
        False,
        bool(code),
    ]
