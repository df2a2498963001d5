"""A node is emptied under load. The test comes late and adds the second node that it needs, if there is none."""

import pytest

from demo import model
from demo.load import Load
from tests.asking import answering
from tests.faults import nodes

pytestmark = pytest.mark.e2e
RATE = 40.0
SLOWEST_SECONDS = 10.0
"""Of any request; pods start on the other node meanwhile."""


@pytest.fixture
def two_nodes(kube):
    """The names of the nodes; all of them take pods again afterwards, and what was added is gone."""
    added = len(nodes.names(kube)) < 2
    if added:
        nodes.add()
    names = nodes.names(kube)
    assert len(names) >= 2
    yield names
    for name in names:
        kube.run("uncordon", name)
    if added:
        nodes.remove(kube)


def where(kube, namespace):
    """The nodes of the pods that are to stay."""
    pods = model.pods(kube, "catfish", namespace)
    return {pod["spec"].get("nodeName") for pod in pods if "deletionTimestamp" not in pod["metadata"]}


def test_replicas_are_spread_and_draining_one_node_after_the_other_costs_no_request(
    two_nodes, kube, namespace, applied
):
    applied(replicas=2)
    model.proven(kube, "catfish", namespace)
    assert where(kube, namespace) == set(two_nodes)
    address = answering(model.url(kube, "catfish", namespace))
    with Load(address, model.samples(), rate=RATE) as load:
        load.wait_until(lambda seen: seen.total >= 50, seconds=60)
        for name in two_nodes:
            kube.run("drain", name, *nodes.DRAIN, timeout=200)
            assert name not in where(kube, namespace)
            kube.run("uncordon", name)
            model.settled(kube, "catfish", namespace)
        so_far = load.result().total
        load.wait_until(lambda seen: seen.total >= so_far + 100, seconds=60)
    result = load.result()
    assert result.failures == {}, result.sentence()
    assert result.slowest < SLOWEST_SECONDS, result.sentence()
