"""Scaling and updates while a client asks all the time: it may not notice.

These tests send some hundred to two thousand requests each. The full figure (at least 5,000, at a rate that is
held) comes from benchmarks/rollout_load.py, `make bench-rollout-load`.
"""

import pytest

from demo import model, weights
from demo.kube import wait_for
from demo.load import Load
from tests.asking import answering

pytestmark = pytest.mark.e2e
RATE = 60.0
SLOWEST_SECONDS = 5.0
"""Of any request: a client that waits for longer has noticed something, even if it gets its answer."""


@pytest.fixture
def asked(kube, namespace, applied):
    """A settled model of two replicas and its address."""
    applied(replicas=2)
    return answering(model.url(kube, "catfish", namespace))


def assert_unharmed(result):
    assert result.failures == {}, result.sentence()
    assert result.slowest < SLOWEST_SECONDS, result.sentence()
    assert result.connections["kept"] >= 1
    assert result.connections["new"] > result.total / 4


def test_scaling_1_3_1_costs_no_request(kube, namespace, asked):
    kube.run("scale", "cfm/catfish", "--namespace", namespace, "--replicas=1")
    model.settled(kube, "catfish", namespace)
    with Load(asked, model.samples(), rate=RATE) as load:
        for replicas in (3, 1):
            kube.run("scale", "cfm/catfish", "--namespace", namespace, f"--replicas={replicas}")
            assert model.settled(kube, "catfish", namespace)["status"]["replicas"] == replicas
        seen = load.result().total
        load.wait_until(lambda result: result.total >= max(1000, seen + 300), seconds=60)
    assert_unharmed(load.result())


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"image": "catfish-server:v2"}, id="only the image"),
        pytest.param(
            {"weights": {"url": f"{weights.CLUSTER_STORE}/models/catfish-v2.pt"}}, id="only the weights"
        ),
    ],
)
def test_an_update_costs_no_request_and_ends_with_the_new_revision_alone(kube, namespace, asked, change):
    old = kube.get("cfm", "catfish", namespace)["status"]["targetRevision"]
    with Load(asked, model.samples(), rate=RATE) as load:
        load.wait_until(lambda result: result.total >= 100, seconds=60)
        kube.patch("catfish", change, namespace)
        new = model.settled(kube, "catfish", namespace)["status"]["targetRevision"]
        before = load.result()
        load.wait_until(lambda result: result.total >= before.total + 300, seconds=60)
    result = load.result()
    assert new != old
    assert set(result.revisions) == {old, new}
    assert result.revisions[new] >= 100
    assert_unharmed(result)


def test_going_back_uses_the_old_revision_again(applied):
    first = applied()["status"]["targetRevision"]
    second = applied(image="catfish-server:v2")["status"]["targetRevision"]
    again = applied()["status"]["targetRevision"]
    assert first == again != second


def test_an_operator_killed_during_a_rollout_finishes_it_and_costs_no_request(
    kube, installation, namespace, asked
):
    def operators():
        pods = kube.list("pods", installation.namespace, "app.kubernetes.io/name=catfish-operator")
        return {pod["metadata"]["uid"]: pod["metadata"]["name"] for pod in pods}

    before = operators()
    with Load(asked, model.samples(), rate=RATE) as load:
        kube.patch("catfish", {"image": "catfish-server:v2"}, namespace)
        inside = ("--namespace", installation.namespace, "--grace-period=0", "--force")
        kube.run("delete", "pods", *before.values(), *inside)
        model.settled(kube, "catfish", namespace)
        load.wait_until(lambda result: result.total >= 500, seconds=60)
    assert_unharmed(load.result())
    assert operators().keys()
    assert not before.keys() & operators().keys()

    def images():
        pods = model.pods(kube, "catfish", namespace)
        return {pod["spec"]["containers"][0]["image"] for pod in pods}

    wait_for("the pods of v1 to be gone", lambda: images() == {"catfish-server:v2"}, seconds=30)
