import pytest

from localcluster import engine
from localcluster.errors import LocalClusterError


@pytest.fixture
def program(monkeypatch, tmp_path):
    """Puts a shell script on a PATH that holds nothing else."""
    monkeypatch.setenv("PATH", f"{tmp_path}")

    def write(name, script):
        (tmp_path / name).write_text(f"#!/bin/sh\n{script}\n")
        (tmp_path / name).chmod(0o755)

    return write


@pytest.mark.parametrize(
    ("script", "answers"),
    [
        ("echo 28.0.1", True),
        ("echo Cannot connect to the Docker daemon >&2; exit 1", False),
        ("exec /bin/sleep 600", False),
    ],
    ids=["answers", "refuses", "hangs"],
)
def test_docker_is_there_when_its_daemon_answers(program, monkeypatch, script, answers):
    monkeypatch.setattr(engine, "PATIENCE_SECONDS", 5.0 if answers else 0.5)
    program("docker", script)
    program("buildah", "exit 1")
    assert engine.docker_answers() is answers
    assert engine.choose().name == ("docker" if answers else "buildah")


@pytest.mark.usefixtures("program")
def test_without_docker_and_buildah_it_says_what_to_install():
    assert engine.docker_answers() is False
    with pytest.raises(LocalClusterError, match="apt install buildah"):
        engine.choose()
