"""`make demo`, run on what is there: a second run uses what the first one made."""

import subprocess
import sys

import pytest

from tests.readme import ROOT, sections

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.cluster_wide(reason="the demo installs the operator for the whole cluster"),
]


def test_the_demo_runs_to_its_end_and_the_curl_line_that_it_prints_works(kube):
    assert sections()["Try it"] == ["make demo"]  # which is what follows
    there_before = kube.get("cfm", "catfish") is not None
    command = [sys.executable, "-m", "demo", "--provider", "local"]
    try:
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=900, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        assert done.stderr == ""
        assert "✘" not in done.stdout
        rollouts = [line for line in done.stdout.splitlines() if line.startswith("✔ v1 -> v2")]
        assert len(rollouts) == 2
        assert all("  0 failed of " in line for line in rollouts)
        (curl,) = [line.strip() for line in done.stdout.splitlines() if line.strip().startswith("curl ")]
        asked = subprocess.run(["sh", "-c", curl], capture_output=True, text=True, timeout=30, check=True)
        assert '"prediction":"cat"' in asked.stdout.replace(" ", "")
    finally:
        if not there_before:
            kube.run("delete", "cfm", "catfish")
