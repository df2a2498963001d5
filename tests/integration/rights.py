"""What the operator may do, by manifests/base, and what it needed, by the audit log: as (group, resource, verb)."""

from contextlib import contextmanager

import yaml

from tests.integration.operator_process import ROOT, wait_for

CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"

SERVICE_MONITORS = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "metadata": {"name": "servicemonitors.monitoring.coreos.com"},
    "spec": {
        "group": "monitoring.coreos.com",
        "names": {"kind": "ServiceMonitor", "plural": "servicemonitors"},
        "scope": "Namespaced",
        "versions": [
            {
                "name": "v1",
                "served": True,
                "storage": True,
                "schema": {
                    "openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
                },
            }
        ],
    },
}
"""The CRD of the Prometheus operator, as far as a ServiceMonitor needs it."""


TAKEN = {
    "services": ("v1", "Service", {"spec": {"ports": [{"port": 80}]}}, {}),
    "controllerrevisions": ("apps/v1", "ControllerRevision", {"revision": 1, "data": {"theirs": True}}, {}),
    "poddisruptionbudgets": (
        "policy/v1",
        "PodDisruptionBudget",
        {"spec": {"maxUnavailable": 1, "selector": {"matchLabels": {"app": "x"}}}},
        {},
    ),
    "horizontalpodautoscalers": (
        "autoscaling/v2",
        "HorizontalPodAutoscaler",
        {
            "spec": {
                "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "x"},
                "maxReplicas": 2,
            }
        },
        {
            "autoscaling": {"minReplicas": 1, "maxReplicas": 2},
            "resources": {"requests": {"cpu": "100m"}},
        },
    ),
    "servicemonitors": (
        "monitoring.coreos.com/v1",
        "ServiceMonitor",
        {"spec": {}},
        {"monitoring": {"serviceMonitor": True}},
    ),
}
"""Kinds that are read only if somebody else's object has the name of a child: what such an object holds, and what a
model asks for to have such a child. The Service comes first: its model tells the name of a revision."""

NOWHERE = {"nodeSelector": {"kubernetes.io/hostname": "nowhere"}}
"""Pods of such a model are never started."""


def in_the_way(plural, revision):
    """An object that has the name which a model `taken-PLURAL` needs, and the model's fields.

    Args:
        plural: a key of `TAKEN`.
        revision: the hash in the names of the revisions of these models.
    """
    api_version, kind, content, asked = TAKEN[plural]
    name = f"taken-{plural}" + (f"-{revision}" if kind == "ControllerRevision" else "")
    foreign = {"apiVersion": api_version, "kind": kind, "metadata": {"name": name}, **content}
    return foreign, {**NOWHERE, **({} if "autoscaling" in asked else {"replicas": 2}), **asked}


@contextmanager
def service_monitors(api, kubectl):
    """The kind ServiceMonitor, for the time of a block."""
    api.create(CRDS, SERVICE_MONITORS)
    wait_for(
        lambda: (
            "servicemonitors" in kubectl("api-resources", "--api-group=monitoring.coreos.com", check=False)
        ),
        what="the kind is served",
    )
    try:
        yield
    finally:
        path = f"{CRDS}/{SERVICE_MONITORS['metadata']['name']}"
        api.delete(path)
        wait_for(lambda: api.get(path) is None, what="the kind is gone")


def granted():
    """The rights in manifests/base/rbac.yaml."""
    documents = yaml.safe_load_all((ROOT / "manifests" / "base" / "rbac.yaml").read_text())
    rules = [rule for document in documents for rule in document.get("rules", [])]
    return {
        (group, resource, verb)
        for rule in rules
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }


def used(audit):
    """The rights that the operator's requests needed. An apply, or an update, that makes an object needs two."""
    found = set()
    for entry in audit.entries() + audit.entries("ResponseStarted"):
        ref = entry["objectRef"]
        below = f"/{ref['subresource']}" if "subresource" in ref else ""
        right = (ref.get("apiGroup", ""), ref["resource"] + below)
        found.add((*right, entry["verb"]))
        if entry["verb"] in {"patch", "update"} and entry["responseStatus"].get("code") == 201:
            found.add((*right, "create"))
    return found
