"""What a person and a program read of a verb."""

import io
import json
import os
import subprocess
import sys

import pytest

from catfish_server.tools.__main__ import run
from catfish_server.tools.report import Report, table


class Terminal(io.StringIO):
    def isatty(self):
        return True


def report(*, as_json=False, err=None):
    out, err = io.StringIO(), err or io.StringIO()
    return Report(as_json=as_json, out=out, err=err), out, err


def test_progress_is_for_a_terminal_alone():
    told, out, err = report()
    told.progress("tracing the model", 1, 2)
    assert (out.getvalue(), err.getvalue()) == ("", "")


def test_progress_takes_the_place_of_what_was_said_and_leaves_before_the_result():
    told, out, err = report(err=Terminal())
    told.progress("comparing", 10, 20)
    told.progress("done")
    told.result({"n": 1})
    assert err.getvalue() == "\rcomparing: 10/20\rdone            \r    \r"
    assert out.getvalue() == "n  1\n"


def test_a_failure_stands_on_a_line_of_its_own_on_a_terminal(monkeypatch, tmp_path):
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    (tmp_path / "page").write_text("<html>")
    assert run(["inspect", str(tmp_path / "page")]) == 3
    assert terminal.getvalue().startswith("\rreading the file\r")
    assert terminal.getvalue().rpartition("\r")[2].startswith(f"catfish: {tmp_path}/page is a web page")


def test_a_note_goes_beside_the_table_and_into_the_json():
    told, out, err = report()
    told.note("few pictures")
    told.result({"n": 1})
    assert (out.getvalue(), err.getvalue()) == ("n  1\n", "note: few pictures\n")
    told, out, err = report(as_json=True)
    told.note("few pictures")
    told.result({"n": 1, "name": "é"})
    assert err.getvalue() == ""
    assert json.loads(out.getvalue()) == {"n": 1, "name": "é", "notes": ["few pictures"]}
    assert "é" in out.getvalue()


def test_a_failure_is_a_line_and_in_json_an_object_with_the_notes_before_it():
    told, out, err = report()
    told.failure("it cannot be done", 3)
    assert (out.getvalue(), err.getvalue()) == ("", "catfish: it cannot be done\n")
    told, out, err = report(as_json=True)
    told.note("few pictures")
    told.failure("it cannot be done", 3)
    assert err.getvalue() == "catfish: it cannot be done\n"
    assert json.loads(out.getvalue()) == {
        "error": "it cannot be done",
        "exit_code": 3,
        "notes": ["few pictures"],
    }


@pytest.mark.process
@pytest.mark.parametrize("name", ["é…", os.fsdecode(b"\xff")], ids=["signs that ASCII has not", "no UTF-8"])
@pytest.mark.parametrize("encoding", ["ascii", "utf-8"])
def test_a_name_that_the_output_has_no_signs_for_is_escaped(tmp_path, encoding, name):
    (tmp_path / name).write_bytes(b"\x02\0\0\0\0\0\0\0{}")
    environment = {"PYTHONPATH": ":".join(sys.path), "PYTHONIOENCODING": encoding}
    asked = [sys.executable, "-m", "catfish_server.tools", "digest", "--json"]
    for path, code in ((tmp_path / name, 0), (tmp_path / f"missing {name}", 3)):
        done = subprocess.run([*asked, path], check=False, capture_output=True, env=environment)
        assert (done.returncode, done.stderr.count(b"\n")) == (code, bool(code)), done.stderr
        assert json.loads(done.stdout.decode(encoding))
        assert b"Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "-"),
        (True, "yes"),
        (False, "no"),
        (0.123456, "0.1235"),
        (9999, "9999"),
        (-1234567, "-1,234,567"),
        (["cat", "fish"], "cat, fish"),
        ([], "-"),
        (("n", 3, 224), "n, 3, 224"),
        ("plain é", "plain é"),
        ("\x1b[2J", "\\x1b[2J"),
    ],
    ids=repr,
)
def test_a_value_is_written_for_a_person(value, text):
    assert table({"a_name": value}) == [f"a name  {text}"]


def test_what_has_parts_is_written_below_its_name():
    assert table(
        {
            "format": "onnx",
            "preprocess": {"cut_to": 32},
            "code": "first\nsecond",
            "layers": [{"layer": "Conv", "parameters": 10}, {"layer": "Gemm", "parameters": 12345}],
        }
    ) == [
        "format      onnx",
        "",
        "preprocess:",
        "  cut to  32",
        "",
        "code:",
        "  first",
        "  second",
        "",
        "layers:",
        "  LAYER   PARAMETERS",
        "  Conv    10",
        "  Gemm    12,345",
    ]


def test_nothing_is_no_line():
    assert table({}) == []
