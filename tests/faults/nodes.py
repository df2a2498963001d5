"""A second node for the cluster of the tests, and away with it again."""

import sys
from dataclasses import replace

from demo import tools
from demo.cluster import OPERATOR_IMAGE, SERVER_IMAGES
from demo.kube import Kube
from demo.report import Report
from localcluster import cgroups, cluster, host, network
from localcluster.commands import run

DRAIN = ("--ignore-daemonsets", "--delete-emptydir-data", "--timeout=180s")


def names(kube: Kube) -> list[str]:
    """The nodes."""
    return sorted(str(node["metadata"]["name"]) for node in kube.list("nodes"))


def add() -> None:
    """A second node, with the images that pods are made of."""
    report = Report(stream=sys.__stdout__ or sys.stdout)
    with report.step("a second node"):
        up = ("up", "--provider", "local", "--nodes", "2")
        tools.localcluster(*up, name="second-node").wait(report)
        images = (*SERVER_IMAGES, OPERATOR_IMAGE)
        tools.localcluster("load-image", *images, name="load-second-node").wait(report)


def remove(kube: Kube) -> None:
    """Takes the last node away, for the cluster was somebody's before the tests; its images stay.

    A node that comes back gets another range for its pods, so nothing may be left that knows the old one: its
    bridge, its CNI configuration.
    """
    here = cluster.current()
    assert here is not None
    assert here.size > 1
    node = here.nodes[-1]
    kube.run("drain", node.name, *DRAIN, timeout=200)
    node.stop()
    kube.run("delete", "node", node.name)
    host.kill(lambda: host.processes_in([network.NETNS_DIRECTORY / node.member.netns]))
    cgroups.remove(node.name)
    host.remove_shim_sockets(node.folder / "containerd")
    host.unmount_below(node.folder)
    host.remove_folder(node.folder)
    run("ip", "netns", "delete", node.member.netns)
    cluster._note(replace(here, size=here.size - 1))  # the tests alone take a node from a running cluster
