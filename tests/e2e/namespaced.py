"""The operator of manifests/overlays/namespaced in the place of the cluster-wide one: pytest's `--namespaced`."""

import io
import os

from demo import cluster
from demo.kube import ROOT, Kube, wait_for
from demo.report import Report

NAMESPACE = cluster.NAMESPACED.namespace
THE_OPERATOR = "app.kubernetes.io/name=catfish-operator"
NOT_THE_OPERATOR = THE_OPERATOR.replace("=", "!=")
OVERLAYS = ROOT / "build" / "e2e" / "namespaced"
MADE_BY_TESTS = "cfm,secrets"
MADE_OF_MODELS = (
    "deployments,replicasets,pods,services,endpointslices,poddisruptionbudgets,controllerrevisions,"
    "horizontalpodautoscalers"
)


def install(report: Report, kube: Kube, labels: dict[str, str]) -> None:
    """The CRD, the namespace and its operator; the cluster-wide one, where there is one, has no pod meanwhile."""
    kube.run("apply", "-k", "crds")
    if kube.get("deployment", "catfish-operator", cluster.OPERATOR_NAMESPACE) is not None:
        inside = ("--namespace", cluster.OPERATOR_NAMESPACE)
        kube.run("scale", "deployment/catfish-operator", "--replicas=0", *inside)
        wait_for(
            "the cluster-wide operator to be gone",
            lambda: not kube.list("pods", cluster.OPERATOR_NAMESPACE),
            seconds=60,
        )
    kube.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE, "labels": labels}})
    cluster.install_operator(report, kube, cluster.NAMESPACED)


def another(kube: Kube, namespace: str, labels: dict[str, str]) -> None:
    """One more namespace with an operator of its own: the overlay, put into it by an overlay of the user's."""
    folder = OVERLAYS / namespace
    folder.mkdir(parents=True, exist_ok=True)
    base = os.path.relpath(ROOT / cluster.NAMESPACED.kustomization, folder)
    (folder / "kustomization.yaml").write_text(f"namespace: {namespace}\nresources: [{base}]\n")
    kube.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace, "labels": labels}})
    chosen = cluster.Installation(kustomization=str(folder), namespace=namespace)
    cluster.install_operator(Report(stream=io.StringIO()), kube, chosen)


def empty(kube: Kube) -> None:
    """Leaves the operator alone in its namespace, for the next test."""
    inside = ("--namespace", NAMESPACE, "--selector", NOT_THE_OPERATOR)
    kube.run("delete", MADE_BY_TESTS, *inside)
    wait_for(
        f"namespace {NAMESPACE} to be empty",
        lambda: not kube.list(MADE_OF_MODELS, NAMESPACE, NOT_THE_OPERATOR),
        seconds=120,
    )


def remove(report: Report, kube: Kube) -> None:
    """Takes the namespace away and puts the cluster-wide operator back."""
    kube.run("delete", "namespace", NAMESPACE, "--ignore-not-found", timeout=180)
    if kube.get("deployment", "catfish-operator", cluster.OPERATOR_NAMESPACE) is not None:
        cluster.install_operator(report, kube)
