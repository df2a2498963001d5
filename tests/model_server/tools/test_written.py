"""Files that a verb writes, under their name once they are whole."""

from pathlib import Path

import pytest

from catfish_server.tools import written
from catfish_server.tools.errors import Missing, Refused, ToolFailure


@pytest.fixture
def at(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_file_has_its_name_once_it_is_whole(at):
    with written.whole(at / "out", source=at / "weights") as part:
        part.write_bytes(b"whole")
        assert not (at / "out").exists()
    assert (at / "out").read_bytes() == b"whole"
    assert [path.name for path in at.iterdir()] == ["out"]


@pytest.mark.parametrize("relative", [True, False], ids=["relative", "absolute"])
@pytest.mark.parametrize("kind", [ToolFailure, Refused])
def test_a_file_that_is_not_kept_is_told_of_as_the_new_one(at, kind, relative):
    """It lay in a directory that nobody else has seen."""
    out = Path("out") if relative else at / "out"
    with (
        pytest.raises(kind, match=r"^the new file is damaged, as is the new file$"),
        written.whole(out, source=at / "weights") as part,
    ):
        raise kind(f"{part.absolute()} is damaged, as is {part}")
    assert list(at.iterdir()) == []


@pytest.mark.parametrize(
    "failure", [Missing("onnx"), Refused("no"), OSError("else")], ids=lambda one: type(one).__name__
)
def test_any_other_failure_is_left_as_it_is(at, failure):
    with pytest.raises(type(failure)) as raised, written.whole(at / "out", source=at / "weights"):
        raise failure
    assert raised.value is failure
