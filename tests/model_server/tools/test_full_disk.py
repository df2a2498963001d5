"""Disks that are full, really, while a verb writes: one for its file, one for what is temporary."""

import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from tests.model_server import small_disk

pytestmark = pytest.mark.process

SIZE = 4 * 2**20
"""Of the disk; the weights have 45 MB, and 11 in 8 bits."""

FLAGS = ("--architecture", "resnet18", "--image-size", 32)

WRITING = {
    **{f"export {kind}": ("export", kind) for kind in ("trace", "script", "hybrid", "program", "onnx")},
    "convert": ("convert",),
    "quantize": ("quantize", "--calibrate"),
    "quantize --dynamic": ("quantize", "--dynamic", "--calibrate"),
    "quantize --engine torch": ("quantize", "--engine", "torch", "--calibrate"),
}


@pytest.fixture
def disk(tmp_path):
    with small_disk.mounted(tmp_path / "disk", SIZE) as folder:
        yield folder


@pytest.fixture
def command(catfish, kit):
    """Runs one of `WRITING`."""

    def run(words, out):
        pictures = (kit.pictures,) if words[-1] == "--calibrate" else ()
        verb, *kind = words[:2] if words[0] == "export" else words[:1]
        options = words[1:] if words[0] == "quantize" else ()
        return catfish(verb, *kind, kit.weights, out, *FLAGS, *options, *pictures)

    return run


@pytest.mark.parametrize("words", WRITING.values(), ids=WRITING)
def test_a_full_disk_is_told_in_one_line_and_nothing_is_left_on_it(command, disk, words):
    out = disk / "out.safetensors"
    out.write_bytes(b"older")
    code, told, complaint = command(words, out)
    line = f"catfish: {out}: the disk is full; make room, or write to another one\n"
    assert (code, told, complaint) == (3, "", line)
    assert [(path.name, path.read_bytes()) for path in disk.iterdir()] == [("out.safetensors", b"older")]


@pytest.fixture
def temporary(disk, monkeypatch):
    """The disk as the place for temporary files, with room for the first of them."""
    monkeypatch.setenv("TMPDIR", str(disk))
    monkeypatch.setattr(tempfile, "tempdir", None)  # it remembers where it was
    (disk / "filling").write_bytes(bytes(SIZE - 64 * 1024))
    return disk


@pytest.mark.parametrize("words", [WRITING[name] for name in WRITING if name != "convert"], ids=" ".join)
def test_no_room_for_what_is_temporary_is_told_in_one_line(command, temporary, tmp_path, words):
    """Pictures that are handed to the process that compares, and what ONNX Runtime writes."""
    code, told, complaint = command(words, tmp_path / "out")
    line = f"catfish: {temporary}: the disk is full; make room, or set TMPDIR to a directory that has some\n"
    assert (code, told, complaint) == (3, "", line)
    assert {path.name for path in (*tmp_path.iterdir(), *temporary.iterdir())} == {"disk", "filling"}


def test_a_pickle_that_has_no_room_to_be_read_is_told(catfish, kit, temporary, tmp_path):
    torch.save(load_file(kit.weights), tmp_path / "w.pt")
    code, told, complaint = catfish("inspect", tmp_path / "w.pt", *FLAGS)
    line = (
        f"catfish: {tmp_path}/w.pt does not fit: the disk is full; make room, or set TMPDIR to a directory that has "
        "some\n"
    )
    assert (code, told, complaint) == (3, "", line)
    assert [path.name for path in temporary.iterdir()] == ["filling"]


@pytest.mark.parametrize("words", [(), ("--json",)], ids=["a table", "JSON"])
def test_a_result_that_cannot_be_printed_is_no_success(kit, words):
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "catfish_server.tools", "digest", str(kit.weights), *words],
            check=False,
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            env={"PYTHONPATH": ":".join(sys.path)},
        )
    line = "catfish: standard output cannot be written: No space left on device\n"
    assert (done.returncode, done.stderr) == (3, line)


@pytest.mark.parametrize(
    "name", ["", "/dev/null", "missing/out"], ids=["a directory", "a device", "in no directory"]
)
def test_what_cannot_be_a_file_is_refused(catfish, kit, tmp_path, name):
    out = tmp_path / name
    code, _, complaint = catfish("export", "trace", kit.weights, out, *FLAGS)
    told = {
        "": "is a directory; name a file in it",
        "/dev/null": "is no regular file, and would be replaced by one",
        "missing/out": f"there is no directory {out.parent}; make it first",
    }
    assert (code, complaint) == (3, f"catfish: {out}: {told[name]}\n")
    assert Path("/dev/null").is_char_device()
