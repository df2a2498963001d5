"""What the demo tells people to type works on the machine that it is for: one without a kubectl."""

import io
import sys
from pathlib import Path

import pytest

from demo import kube, pictures, steps
from demo.report import Report
from localcluster import __main__ as localcluster


class Quiet:
    """A cluster that has nothing to say."""

    def run(self, *_: str, **__: object) -> str:
        return ""


@pytest.fixture(autouse=True)
def bare(monkeypatch, tmp_path):
    """No kubectl on PATH, and a cache of its own."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("CATFISH_CACHE", str(tmp_path))


def test_without_a_kubectl_the_local_clusters_own_is_used():
    assert kube.find_kubectl() == (sys.executable, "-m", "localcluster", "kubectl", "--")


def test_the_users_kubectl_comes_first(tmp_path):
    (tmp_path / "kubectl").touch(mode=0o755)
    assert kube.find_kubectl() == (str(tmp_path / "kubectl"),)


def test_the_last_lines_of_the_demo_name_no_program_that_is_not_there(monkeypatch, tmp_path):
    monkeypatch.setattr(pictures, "collect", lambda _: tmp_path)
    stream = io.StringIO()
    steps.farewell(Report(stream=stream), Quiet(), "http://198.18.192.1", 0.0)
    typed = [line.split()[0] for line in stream.getvalue().splitlines() if line.startswith("    ")]
    assert typed == ["curl", "python3", "make"]
    assert f"    {kube.typed('describe cfm/catfish')}\n" in stream.getvalue()


def test_what_is_typed_reaches_kubectl_as_it_is(monkeypatch):
    called = []
    monkeypatch.setattr(localcluster.build, "kubectl", lambda _: Path("/built/kubectl"))
    monkeypatch.setattr(localcluster.providers, "remembered", Remembered)
    monkeypatch.setattr(localcluster.os, "execve", lambda *words: called.append(words[:2]))
    module, *words = kube.typed("--namespace training describe pods").split()[2:]
    assert module == "localcluster"
    localcluster.main(words)
    assert called == [(Path("/built/kubectl"), ["kubectl", "--namespace", "training", "describe", "pods"])]


class Remembered:
    """The provider of a cluster that runs."""

    def kubeconfig(self) -> Path:
        return Path("/admin.kubeconfig")
