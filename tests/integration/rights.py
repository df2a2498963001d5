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
