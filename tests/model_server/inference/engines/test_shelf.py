import json
import os

import numpy as np
import pytest

from catfish_server.inference.engines import shelf
from catfish_server.inference.engines.shelf import Shelf

LOGITS = [np.float32([[1, 2]]), np.float32([[3, 4], [5, 6]])]


def kept(directory, name, engine="onnxruntime"):
    made = Shelf(directory / "engines")
    work = directory / "work"
    work.mkdir(exist_ok=True)
    (work / engine).write_bytes(b"graph")
    shelf.write_answers(work / shelf.EXPECTED, LOGITS)
    made.keep(name, engine=engine, work=work)
    return made


def test_what_was_chosen_is_found_again_with_its_file_and_answers(tmp_path):
    kept(tmp_path, "one")
    found = Shelf(tmp_path / "engines").find("one")
    assert (found.engine, found.model.read_bytes()) == ("onnxruntime", b"graph")
    assert all(np.array_equal(one, other) for one, other in zip(found.expected, LOGITS, strict=True))
    assert Shelf(tmp_path / "engines").find("another") is None


def test_that_eager_is_the_fastest_is_kept_too(tmp_path):
    made = Shelf(tmp_path / "engines")
    made.keep("one", engine="eager")
    assert made.find("one") == shelf.Entry(engine="eager", model=None, expected=())


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("choice.json", b"{"),
        ("choice.json", b"[]"),
        ("choice.json", json.dumps({"engine": "another", "sha256": ""}).encode()),
        ("choice.json", json.dumps({"engine": "onnxruntime"}).encode()),
        ("model", b"grap"),
        ("expected.npz", b"PK"),
    ],
)
def test_a_damaged_entry_is_ignored_and_goes(tmp_path, caplog, file, content):
    made = kept(tmp_path, "one")
    (made.directory / "one" / file).write_bytes(content)
    with caplog.at_level("INFO"):
        assert made.find("one") is None
    assert "chosen anew" in caplog.text
    assert not (made.directory / "one").exists()


@pytest.mark.parametrize("file", ["choice.json", "model", "expected.npz"])
def test_an_entry_that_lacks_a_file_is_none(tmp_path, file):
    made = kept(tmp_path, "one")
    (made.directory / "one" / file).unlink()
    assert made.find("one") is None


def test_the_oldest_entries_go(tmp_path):
    for number, name in enumerate(["first", "second", "third"]):
        made = kept(tmp_path, name)
        os.utime(made.directory / name, (number, number))
    assert [made.find(name) is not None for name in ("first", "second", "third")] == [False, True, True]


@pytest.mark.parametrize("change", [{"weights": "b"}, {"image_size": 65}, {"engine": "auto"}])
def test_another_model_has_another_name(change):
    facts = {"weights": "a", "image_size": 64, "engine": "eager"}
    assert shelf.key(**facts) == shelf.key(**facts)
    assert shelf.key(**facts) != shelf.key(**{**facts, **change})


def test_another_processor_or_version_has_another_name(monkeypatch):
    names = {shelf.key(weights="a")}
    monkeypatch.setattr("catfish_server.cpus.model", lambda: "another processor")
    names.add(shelf.key(weights="a"))
    monkeypatch.setattr("importlib.metadata.version", lambda package: f"{package} 9")
    names.add(shelf.key(weights="a"))
    assert len(names) == 3
