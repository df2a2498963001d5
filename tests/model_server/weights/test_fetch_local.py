"""Weights that lie on the machine, and the directory that downloads go to."""

import fcntl
import hashlib
import subprocess
from pathlib import Path

import pytest

from catfish_server import errors
from catfish_server.weights import fetch


def test_a_local_file_is_used_where_it_lies(tmp_path, fetched):
    path = tmp_path / "w.pt"
    path.write_bytes(b"weights")
    result = fetched(path)
    assert (result.path, result.sha256, result.size) == (path, hashlib.sha256(b"weights").hexdigest(), 7)
    result.discard()
    assert path.read_bytes() == b"weights"
    assert fetched(f"file://{path}").path == path


def test_a_write_to_a_local_file_is_noticed(tmp_path, fetched):
    path = tmp_path / "w.pt"
    path.write_bytes(b"weights")
    result = fetched(path)
    assert not result.changed()
    path.write_bytes(b"weighty")
    assert result.changed()


def test_a_local_file_that_is_checked_is_copied_so_that_the_checked_bytes_are_loaded(tmp_path, fetched):
    path = tmp_path / "w.pt"
    path.write_bytes(b"weights")
    result = fetched(path, sha256=hashlib.sha256(b"weights").hexdigest())
    path.write_bytes(b"other")
    assert result.path.read_bytes() == b"weights"


def test_a_local_file_with_another_digest_is_refused(tmp_path, fetched):
    path = tmp_path / "w.pt"
    path.write_bytes(b"weights")
    with pytest.raises(errors.ChecksumMismatch):
        fetched(path, sha256="0" * 64)


@pytest.mark.parametrize("name", ["nothing.pt", "file/below.pt", "folder", "pipe"])
def test_a_local_path_without_a_file_is_not_found(tmp_path, fetched, name):
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_bytes(b"")
    subprocess.run(["mkfifo", tmp_path / "pipe"], check=True)
    with pytest.raises(errors.WeightsNotFound, match=rf"^spec\.weights\.url: {tmp_path / name} "):
        fetched(tmp_path / name)


def test_the_leftovers_of_dead_downloads_are_removed_and_those_of_living_ones_stay(tmp_path):
    directory = fetch.private_directory(tmp_path)
    (directory / "weights-dead.part").write_bytes(b"x")
    (directory / ("0" * 64)).write_bytes(b"kept")
    alive = directory / "weights-alive.part"
    with alive.open("wb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        fetch.private_directory(tmp_path)
        assert sorted(path.name for path in directory.iterdir()) == ["0" * 64, "weights-alive.part"]


@pytest.mark.parametrize("kind", ["link", "open-to-all"])
def test_a_directory_that_others_prepared_is_refused(tmp_path, kind):
    directory = Path(str(fetch.private_directory(tmp_path)))
    if kind == "link":
        directory.rename(tmp_path / "elsewhere")
        directory.symlink_to(tmp_path / "elsewhere")
    else:
        directory.chmod(0o777)
    with pytest.raises(errors.WeightsUnreachable, match="belongs to somebody else"):
        fetch.private_directory(tmp_path)
