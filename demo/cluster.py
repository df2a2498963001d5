"""From an empty machine to a cluster with both images and the operator; the e2e tests use it too."""

import os
from dataclasses import dataclass
from pathlib import Path

from demo import tools
from demo.kube import Kube, KubectlFailed, established, find_kubectl, wait_for
from demo.report import DemoFailure, Report

VERSIONS = ("v1", "v2")
SERVER_IMAGES = tuple(f"catfish-server:{version}" for version in VERSIONS)
OPERATOR_IMAGE = "catfish-operator:dev"
CRD = "catfishmodels.catfish.dev"
OPERATOR_NAMESPACE = "catfish-system"


@dataclass(frozen=True, slots=True, kw_only=True)
class Installation:
    """What `kubectl apply -k` installs, and the namespace in which the operator then runs."""

    kustomization: str
    namespace: str


CLUSTER_WIDE = Installation(kustomization="manifests/base", namespace=OPERATOR_NAMESPACE)
NAMESPACED = Installation(kustomization="manifests/overlays/namespaced", namespace="catfish")


def running() -> Kube | None:
    """The cluster, if it answers already."""
    path = tools.answer("kubeconfig")
    if not path or not Path(path).exists():
        return None
    kube = Kube(kubectl=find_kubectl(), kubeconfig=Path(path))
    try:
        kube.run("get", "--raw", "/readyz", timeout=10)
    except KubectlFailed:
        return None
    return kube


def up(report: Report, provider: str) -> Kube:
    """Cluster and images, made where they are missing; images are built while the cluster compiles."""
    if os.geteuid() == 0:  # the build of the images needs some of it at once
        tools.localcluster("prerequisites", name="prerequisites").wait(report)
    # One after the other: two builds at once only take turns on two cores.
    building = tools.localcluster("build-images", "--version", *VERSIONS, name="build-images")
    try:
        with report.step("cluster") as step:
            tools.localcluster("up", "--provider", provider, name="cluster-up").wait(report)
            kube = running()
            if kube is None:
                raise DemoFailure(
                    "The cluster started, but its API server does not answer.",
                    look="python3 -m localcluster status",
                )
            version = kube.run("version", "--output=yaml")
            nodes = kube.list("nodes")
            step.outcome = f"Kubernetes {_server_version(version)}, {len(nodes)} node"
        with report.step("images") as step:
            building.wait(report)
            tools.localcluster("load-image", *SERVER_IMAGES, OPERATOR_IMAGE, name="load-images").wait(report)
            step.outcome = ", ".join((*SERVER_IMAGES, OPERATOR_IMAGE))
    finally:
        building.stop()
    return kube


def install_operator(report: Report, kube: Kube, chosen: Installation = CLUSTER_WIDE) -> None:
    """`kubectl apply -k`, and wait for the operator."""
    with report.step(f"operator: kubectl apply -k {chosen.kustomization}") as step:
        there_before = kube.get("deployment", "catfish-operator", chosen.namespace) is not None
        kube.run("apply", "-k", chosen.kustomization)
        if there_before:  # its image may be another under the same tag; the models do not notice a restart
            kube.run("rollout", "restart", "deployment/catfish-operator", "--namespace", chosen.namespace)
        wait_for("the CRD to be served", lambda: established(kube.get("crd", CRD) or {}), seconds=30)
        wait_for("the operator to be available", lambda: _available(kube, chosen.namespace), seconds=120)
        step.outcome = f"deployment/catfish-operator in {chosen.namespace}"


def _available(kube: Kube, namespace: str) -> bool:
    found = kube.get("deployment", "catfish-operator", namespace)
    if found is None:
        return False
    status = found.get("status", {})
    wanted = found["spec"].get("replicas", 1)
    observed = status.get("observedGeneration", 0) >= found["metadata"]["generation"]
    return bool(observed and status.get("updatedReplicas", 0) == status.get("availableReplicas", 0) == wanted)


def _server_version(text: str) -> str:
    server = text[text.find("serverVersion") :]
    for line in server.splitlines():
        key, _, value = line.strip().partition(": ")
        if key == "gitVersion":
            return value.strip('"')
    return "of an unknown version"
