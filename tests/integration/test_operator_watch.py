"""Changes are seen when they happen, not at the next resync: it is a minute away here."""

import time
from collections import Counter

import pytest

from catfish_operator.cluster import KINDS
from tests.integration.audit import Audit
from tests.integration.kubelet import kubelet
from tests.integration.operator_process import DEPLOYMENTS, MODELS, OperatorProcess, model, settled, wait_for
from tests.integration.rights import service_monitors

SECONDS = 10.0
OPTIONAL = "servicemonitors"


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


def test_a_kind_that_comes_and_goes_is_watched_meanwhile_and_costs_no_other_kind_its_watch(
    start, plane, api, kubectl
):
    audit = Audit(plane.audit_log)
    operator = start(CATFISH_RESYNC_SECONDS="2").wait_ready()
    needed = {kind.plural for kind in KINDS if not kind.optional}
    wait_for(lambda: set(begun(audit)) == needed, what="a watch of each kind but the optional one")
    for _ in range(2):
        before = begun(audit)[OPTIONAL]
        with service_monitors(api, kubectl):
            wait_for(lambda before=before: begun(audit)[OPTIONAL] > before, what="it is watched as well")
        operator.wait_resyncs(1)
    assert f"the watches of {OPTIONAL} ended" in operator.text()
    assert operator.metrics()["catfish_event_source_starts_total"] >= 1 + 2  # a new life each time
    assert begun(audit) - Counter({OPTIONAL: begun(audit)[OPTIONAL]}) == Counter(needed)


def begun(audit):
    """How many watches of each kind have begun."""
    entries = audit.entries("ResponseStarted")
    return Counter(entry["objectRef"]["resource"] for entry in entries if entry["verb"] == "watch")
