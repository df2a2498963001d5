"""A node is emptied under load. Needs two nodes: `make test-drain` starts them."""

import pytest

from demo import model
from demo.kube import wait_for
from demo.load import Load

pytestmark = pytest.mark.e2e
RATE = 40.0
DRAIN = ("--ignore-daemonsets", "--delete-emptydir-data", "--timeout=180s")


@pytest.fixture
def two_nodes(kube):
    """The names of the nodes; all of them take pods again afterwards."""
    names = [node["metadata"]["name"] for node in kube.list("nodes")]
    if len(names) < 2:
        pytest.skip("one node alone cannot be drained: run `make test-drain`")
    yield names
    for name in names:
        kube.run("uncordon", name)


@pytest.mark.parametrize("replicas", [2, 3])
def test_draining_one_node_after_the_other_costs_no_request(kube, namespace, applied, two_nodes, replicas):
    applied(replicas=replicas)
    model.proven(kube, "catfish", namespace)
    address = model.url(kube, "catfish", namespace)
    with Load(address, model.samples(), rate=RATE) as load:
        load.wait_until(lambda seen: seen.total >= 50, seconds=60)
        for name in two_nodes:
            kube.run("drain", name, *DRAIN, timeout=200)
            kube.run("uncordon", name)
            model.settled(kube, "catfish", namespace)
        so_far = load.result().total
        load.wait_until(lambda seen: seen.total >= so_far + 100, seconds=60)
    assert load.result().failures == {}, load.result().sentence()


def test_replicas_are_spread_over_the_nodes(kube, namespace, applied, two_nodes):
    applied(replicas=2)

    def spread():
        return {pod["spec"].get("nodeName") for pod in kube.list("pods", namespace)} == set(two_nodes)

    wait_for("a pod on each node", spread, seconds=30)
