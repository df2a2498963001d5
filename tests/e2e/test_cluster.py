"""`up` and `down` on this machine: what they make, repair, and leave behind, which is nothing.

These tests take the cluster down. They come last, and leave a cluster alone that was there before the tests.
"""

import json
import os
import signal
import time

import pytest

from localcluster import cluster, host, leftovers, network
from localcluster.nodeconfig import PAUSE_IMAGE

pytestmark = pytest.mark.e2e
FOUND = cluster.current()  # asked while tests are collected, before any fixture starts one
SOMEBODY_ELSES = FOUND is not None and any(
    daemon.pid for _, daemon in FOUND.daemons()
)  # what is dead is nobody's
PODS = {
    "apiVersion": "apps/v1",
    "kind": "Deployment",
    "metadata": {"name": "waiting"},
    "spec": {
        "replicas": 2,
        "selector": {"matchLabels": {"app": "waiting"}},
        "template": {
            "metadata": {"labels": {"app": "waiting"}},
            "spec": {
                "terminationGracePeriodSeconds": 0,
                "containers": [{"name": "pause", "image": PAUSE_IMAGE, "imagePullPolicy": "Never"}],
                "topologySpreadConstraints": [
                    {
                        "maxSkew": 1,
                        "topologyKey": "kubernetes.io/hostname",
                        "whenUnsatisfiable": "DoNotSchedule",
                        "labelSelector": {"matchLabels": {"app": "waiting"}},
                    }
                ],
            },
        },
    },
}


@pytest.fixture
def machine():
    """A picture of the machine without a cluster; at the end there is none again."""
    if os.geteuid() != 0:
        pytest.skip("the local cluster needs root")
    if SOMEBODY_ELSES:
        pytest.skip("a cluster was up before the tests: `make cluster-down`, then these tests can run too")
    cluster.down()
    yield leftovers.snapshot()
    cluster.down()


def with_pods(size):
    """A cluster with a pod on each node."""
    made = cluster.up(size=size)
    made.plane.kubectl("apply", "-f", "-", stdin=json.dumps(PODS))
    made.plane.kubectl("rollout", "status", "deployment/waiting", "--timeout=60s", timeout=70)
    return made


def pids(made):
    return {f"{part} {daemon.name}": daemon.pid for part, daemon in made.daemons()}


def test_two_nodes_come_up_and_going_down_leaves_nothing(machine):
    made = with_pods(size=2)
    where = made.plane.kubectl("get", "pods", "-o", "jsonpath={.items[*].spec.nodeName}").split()
    assert sorted(where) == ["catfish-node1", "catfish-node2"]
    assert leftovers.difference(machine, leftovers.snapshot()) != []  # the picture sees a cluster
    cluster.down()
    assert leftovers.difference(machine, leftovers.snapshot()) == []


@pytest.mark.parametrize("victims", ["kubelet and containerd", "everything"])
def test_going_down_leaves_nothing_even_of_a_cluster_that_was_killed(machine, victims):
    made = with_pods(size=1)
    for _, daemon in made.daemons():
        if victims == "everything" or daemon.name in {"kubelet", "containerd"}:
            daemon.kill()
    if victims == "everything":
        (made.folder / "cluster.json").unlink()
    cluster.down()
    assert leftovers.difference(machine, leftovers.snapshot()) == []


@pytest.mark.usefixtures("machine")
def test_a_second_up_changes_nothing_and_repairs_what_is_dead():
    made = with_pods(size=1)
    before = pids(made)
    cluster.up()
    assert pids(made) == before
    killed = {"catfish-node1 kubelet", "catfish-node1 containerd", "control plane kube-apiserver"}
    for part, daemon in made.daemons():
        if f"{part} {daemon.name}" in killed:
            daemon.kill()
    cluster.up()
    after = pids(made)
    assert None not in after.values()
    assert {name for name in before if before[name] != after[name]} == killed
    made.plane.kubectl("rollout", "status", "deployment/waiting", "--timeout=60s", timeout=70)


@pytest.mark.usefixtures("machine")
def test_pods_of_an_earlier_cluster_do_not_come_back_but_its_images_do():
    made = with_pods(size=1)
    for _, daemon in made.daemons():  # so that nobody tidies up
        if daemon.name in {"kubelet", "containerd"}:
            os.kill(daemon.pid, signal.SIGKILL)
    cluster.down()
    again = cluster.up()
    (node,) = again.nodes
    assert node.ctr("containers", "ls", "-q").split() == []
    assert node.has_image(PAUSE_IMAGE)
    assert again.plane.kubectl("get", "pods", "--all-namespaces", "-o", "name") == ""


@pytest.mark.usefixtures("machine")
def test_a_warm_cluster_is_ready_within_fifteen_seconds():
    cluster.up()  # fills the caches
    cluster.down()
    start = time.monotonic()
    cluster.up()
    assert time.monotonic() - start < 15


@pytest.mark.usefixtures("machine")
def test_a_namespace_lost_under_a_running_cluster_is_made_anew():
    made = with_pods(size=1)
    host.unmount_below(network.NETNS_DIRECTORY / "catfish")
    (network.NETNS_DIRECTORY / "catfish").unlink()
    cluster.up()
    assert None not in pids(made).values()
    made.plane.kubectl("get", "nodes")
