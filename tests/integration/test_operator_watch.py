"""Changes are seen when they happen, not at the next resync: it is a minute away here."""

import time

import pytest

from tests.integration.kubelet import kubelet
from tests.integration.operator_process import DEPLOYMENTS, MODELS, OperatorProcess, model, settled, wait_for

SECONDS = 10.0


@pytest.fixture
def operator(plane, api, tmp_path):  # noqa: ARG001 - the rights must be there first
    """The operator with a resync that comes too late for these tests."""
    process = OperatorProcess(plane, tmp_path, CATFISH_RESYNC_SECONDS="60")
    try:
        yield process.start().wait_ready()
    finally:
        process.stop()
    assert "Traceback" not in process.text()


def test_models_pods_and_children_are_looked_at_when_they_change(operator, api, namespace):  # noqa: ARG001
    begun = time.monotonic()
    with kubelet(api, namespace):
        api.create(MODELS.format(namespace), model(replicas=1))
        path = f"{MODELS.format(namespace)}/cat"
        wait_for(lambda: settled(api.get(path)), seconds=SECONDS, what="the new model is up to date")
        deployment = f"{DEPLOYMENTS.format(namespace)}/cat"
        api.merge(deployment, {"spec": {"minReadySeconds": 77}})
        wait_for(
            lambda: api.get(deployment)["spec"].get("minReadySeconds") != 77,
            seconds=SECONDS,
            what="the Deployment is put back",
        )
        api.merge(path, {"spec": {"replicas": 2}})
        wait_for(
            lambda: settled(api.get(path)) and api.get(path)["status"]["readyReplicas"] == 2,
            seconds=SECONDS * 2,
            what="the model is scaled",
        )
    assert time.monotonic() - begun < 55
