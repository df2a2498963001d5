"""A horizontal autoscaler that sees how busy the pods are."""

import sys

import pytest

from demo import model, tools
from demo.kube import KubectlFailed, wait_for
from demo.load import Load
from demo.report import Report
from tests.asking import answering

pytestmark = pytest.mark.e2e
RATE = 60.0
METRICS = "/apis/metrics.k8s.io/v1beta1/nodes"
SPEC = {
    "autoscaling": {"minReplicas": 1, "maxReplicas": 3, "targetCPUUtilizationPercentage": 40},
    "resources": {"requests": {"cpu": "200m", "memory": "400Mi"}},
}


@pytest.fixture(scope="module")
def metrics(kube):
    """metrics-server, which is added to the cluster where nobody has done so yet, and stays."""

    def answers():
        return bool(kube.run("get", "--raw", METRICS, timeout=10))

    try:
        answers()
    except KubectlFailed:
        report = Report(stream=sys.__stdout__ or sys.stdout)
        with report.step("metrics-server"):
            tools.localcluster("add", "metrics-server", name="metrics-server").wait(report)
    wait_for("the metrics API", answers, seconds=90, every=1)


@pytest.mark.usefixtures("metrics")
def test_the_metrics_of_every_pod_are_there(kube, namespace, applied):
    applied(replicas=1)

    def told():
        return "catfish" in kube.run("top", "pods", "--namespace", namespace)

    wait_for("metrics of the pod", told, seconds=90, every=2)


@pytest.mark.usefixtures("metrics")
def test_a_busy_model_gets_more_pods_and_loses_no_request(kube, namespace):
    manifest = model.manifest("catfish", namespace, **SPEC)
    del manifest["spec"]["replicas"]
    kube.apply(manifest)
    model.settled(kube, "catfish", namespace)
    address = answering(model.url(kube, "catfish", namespace))
    with Load(address, model.samples(), rate=RATE) as load:
        wait_for(
            "a second pod",
            lambda: len([pod for pod in model.pods(kube, "catfish", namespace) if _ready(pod)]) >= 2,
            seconds=180,
            every=2,
        )
        so_far = load.result().total
        load.wait_until(lambda seen: seen.total >= so_far + 100, seconds=60)
    assert load.result().failures == {}, load.result().sentence()
    status = kube.get("cfm", "catfish", namespace)["status"]
    assert status["replicas"] >= 2
    assert kube.get("hpa", "catfish", namespace)["spec"]["maxReplicas"] == 3


def _ready(pod):
    conditions = pod["status"].get("conditions", [])
    return any(found["type"] == "Ready" and found["status"] == "True" for found in conditions)
