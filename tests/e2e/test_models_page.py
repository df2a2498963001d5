"""docs/models.md, followed to its end on the cluster: what its training script made is served, and answers.

Commands that leave nothing which is served are run by tests/model_server/tools/test_docs.py alone.
"""

import json

import pytest

from demo.kube import wait_for
from localcluster import direct
from tests import models_page

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.cluster_wide(reason="the page applies its manifest to the namespace that kubectl has"),
]

STATUS_SECONDS = 30.0
"""From Ready to what the pod has loaded in the model's status: the operator asks the pod."""


def test_the_page_ends_with_a_model_that_answers(kube, tmp_path):
    environment = {"KUBECONFIG": str(kube.kubeconfig), "OMP_NUM_THREADS": "1"}
    unserved = ("catfish export ", "catfish verify ")
    followed = models_page.follow(tmp_path, direct.environment() | environment, without=unserved)
    (followed.directory / "model.yaml").write_text(followed.manifest)
    try:
        told = models_page.run(followed.page.remote(), followed.directory, followed.environment)
        answer = json.loads(told.splitlines()[-1])
        loaded = wait_for(
            "status.weights",
            lambda: kube.get("cfm", "patterns")["status"].get("weights"),
            seconds=STATUS_SECONDS,
        )
    finally:
        kube.run("delete", "cfm", "patterns", "--ignore-not-found")
    assert (answer["prediction"], loaded["format"], loaded["sha256"]) == ("dots", "onnx", followed.digest)
