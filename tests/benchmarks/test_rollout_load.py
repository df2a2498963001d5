"""What the benchmark under load says when the cluster goes away."""

import sys

import pytest

from benchmarks import rollout_load
from demo.kube import Kube


@pytest.fixture
def unreachable(monkeypatch, tmp_path):
    """A cluster whose kubectl fails, as one does whose API server has gone; what it was asked is written down."""
    asked = tmp_path / "asked"
    program = tmp_path / "kubectl"
    program.write_text(f'#!/bin/sh\necho "$1" >> {asked}; echo "connection refused" >&2; exit 1\n')
    program.chmod(0o755)
    kube = Kube(kubectl=(str(program),), kubeconfig=tmp_path / "none")
    monkeypatch.setattr(rollout_load.cluster, "running", lambda: kube)
    monkeypatch.setattr(sys, "argv", ["rollout_load"])
    monkeypatch.chdir(tmp_path)
    return asked


def test_a_cluster_that_goes_away_is_a_sentence_and_a_failure(unreachable, capsys):
    assert rollout_load.main() == 1
    assert capsys.readouterr().out == "connection refused\n"
    assert unreachable.read_text().split() == ["apply", "delete"]


def test_an_error_of_ours_is_no_failure_of_the_cluster(unreachable, monkeypatch):
    def broken(*_):
        raise ZeroDivisionError

    monkeypatch.setattr(Kube, "apply", lambda *_: None)
    monkeypatch.setattr(rollout_load, "measure", broken)
    with pytest.raises(ZeroDivisionError):
        rollout_load.main()
    assert unreachable.read_text().split() == ["delete"]


def test_without_a_cluster_it_says_what_to_do(monkeypatch, capsys):
    monkeypatch.setattr(rollout_load.cluster, "running", lambda: None)
    monkeypatch.setattr(sys, "argv", ["rollout_load"])
    assert rollout_load.main() == 1
    assert "make demo" in capsys.readouterr().out
