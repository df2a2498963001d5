"""Scaling and updates while a client asks all the time: it may not notice.

These tests send some hundred to two thousand requests each. The full figure (at least 5,000, at a rate that is
held) comes from benchmarks/rollout_load.py, `make bench-rollout-load`.
"""

import pytest

from demo import model, weights
from demo.kube import wait_for
from demo.load import Load

pytestmark = pytest.mark.e2e
RATE = 60.0


@pytest.fixture
def asked(kube, namespace, applied):
    """A settled model of two replicas and its address."""
    applied(replicas=2)
    address = model.url(kube, "catfish", namespace)

    def answers() -> bool:
        try:
            return model.ask(address, path="/").status == 200
        except OSError:
            return False

    wait_for("an answer", answers, seconds=30)
    return address


def assert_unharmed(result):
    assert result.failures == {}, result.sentence()
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
    with Load(asked, model.samples(), rate=RATE) as load:
        kube.patch("catfish", {"image": "catfish-server:v2"}, namespace)
        operator = (
            "--selector=app.kubernetes.io/name=catfish-operator",
            "--namespace",
            installation.namespace,
        )
        kube.run("delete", "pods", *operator, "--grace-period=0", "--force")
        model.settled(kube, "catfish", namespace)
        load.wait_until(lambda result: result.total >= 500, seconds=60)
    assert load.result().failures == {}, load.result().sentence()
    images = {pod["spec"]["containers"][0]["image"] for pod in kube.list("pods", namespace)}
    assert "catfish-server:v2" in images
