"""Every manifest that the repository shows is one that the cluster accepts."""

from pathlib import Path

import pytest

from demo import model

pytestmark = pytest.mark.e2e
EXAMPLES = sorted(Path(__file__).resolve().parents[2].joinpath("manifests/examples").glob("*.yaml"))


def test_there_are_examples():
    assert "catfish.yaml" in [example.name for example in EXAMPLES]


@pytest.mark.parametrize("example", [pytest.param(example, id=example.stem) for example in EXAMPLES])
def test_an_example_is_accepted_as_it_is(kube, example):
    written = kube.run("apply", "--dry-run=server", "--validate=strict", "-f", str(example))
    assert "catfishmodel.catfish.dev/" in written


@pytest.mark.cluster_wide(reason="the example is for the namespace `default`")
def test_the_first_example_serves(kube):
    there_before = kube.get("cfm", "catfish") is not None
    kube.run("apply", "-f", "manifests/examples/catfish.yaml")
    try:
        found = model.settled(kube, "catfish")
        assert found["status"]["readyReplicas"] == 2
        columns = kube.run("get", "cfm", "catfish").split("\n")
        assert columns[0].split()[:3] == ["NAME", "READY", "UP-TO-DATE"]
        assert columns[1].split()[:3] == ["catfish", "True", "True"]
    finally:
        if not there_before:
            kube.run("delete", "cfm", "catfish")
