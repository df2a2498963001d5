"""The README's commands for a cluster do what it says."""

import os
import subprocess

import pytest

from demo import model
from tests.readme import ROOT, sections

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.cluster_wide(reason="the README installs the operator for the whole cluster"),
]


def test_a_model_serves_after_the_commands_of_the_readme(kube):
    there_before = kube.get("cfm", "catfish") is not None
    environment = {**os.environ, "KUBECONFIG": str(kube.kubeconfig)}
    try:
        for command in sections()["Use it on your cluster"]:
            done = subprocess.run(
                ["/bin/sh", "-c", command],
                cwd=ROOT,
                env=environment,
                capture_output=True,
                text=True,
                timeout=120,
                check=False,
            )
            assert done.returncode == 0, f"{command}: {done.stderr}"
        assert "catfish" in done.stdout
        assert model.settled(kube, "catfish")["status"]["readyReplicas"] == 2
        columns = kube.run("get", "cfm", "catfish").split("\n")
        assert columns[0].split()[:3] == ["NAME", "READY", "UP-TO-DATE"]
        assert columns[1].split()[:3] == ["catfish", "True", "True"]
    finally:
        if not there_before:
            kube.run("delete", "cfm", "catfish")
