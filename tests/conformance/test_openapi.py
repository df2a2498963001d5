"""schemathesis, which knows nothing of this server but its /openapi.json, against a real one."""

import subprocess
import sys
import threading
from pathlib import Path

import pytest
import torch
from torchvision import models

from catfish_server.inference.classifier import Classifier
from tests.model_server.web.conftest import SETTINGS, Running

pytestmark = pytest.mark.process

EXAMPLES = "12"
"""For each operation, besides the boundaries of every field, which are always tried."""

EXCLUDED = (
    "positive_data_acceptance",  # whether bytes are an image, and an address leads to one, no schema can say
)


@pytest.fixture(scope="module")
def url():
    """A server that fetches nothing: the addresses that are made up here lead out of this machine."""
    torch.manual_seed(7)
    classifier = Classifier(
        models.resnet18(weights=None, num_classes=2).eval(),
        SETTINGS.classes,
        image_size=SETTINGS.image_size,
        mean=SETTINGS.mean,
        std=SETTINGS.std,
        unknown_threshold=None,
        threads=SETTINGS.threads,
    )
    running = Running(classifier, image_urls_enabled=False, return_probabilities=True)
    yield "http://{}:{}".format(*running.address)
    running.server.stop()
    running.thread.join()


def test_answers_to_good_and_bad_requests_are_those_of_the_document_and_none_is_a_failure(url, tmp_path):
    command = [Path(sys.executable).parent / "schemathesis", "run", f"{url}/openapi.json", "--no-color"]
    command += ["--phases=examples,coverage,fuzzing", f"--max-examples={EXAMPLES}", "--mode=all", "--seed=1"]
    command += ["--generation-deterministic", "--generation-database=none", "--suppress-health-check=all"]
    command += ["--checks=all", f"--exclude-checks={','.join(EXCLUDED)}", "--continue-on-failure"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=580)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "No issues found" in done.stdout, done.stdout


def test_a_server_that_is_asked_by_many_at_once_stays_well(url, tmp_path):
    """The same from four sides at once: what one thread's request leaves behind is seen by another's."""
    command = [Path(sys.executable).parent / "schemathesis", "run", f"{url}/openapi.json", "--no-color"]
    command += ["--phases=fuzzing", "--max-examples=5", "--workers=4", "--seed=2", "--mode=all"]
    command += ["--generation-database=none", "--suppress-health-check=all", "--checks=not_a_server_error"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=580)
    assert done.returncode == 0, done.stdout + done.stderr
    assert threading.active_count() < 100
