"""What the operator may do, by manifests/base, and what it needed, by the audit log: as (group, resource, verb)."""

import yaml

from tests.integration.operator_process import ROOT


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
    """The rights that the operator's requests needed. An apply that makes an object needs two."""
    found = set()
    for entry in audit.entries() + audit.entries("ResponseStarted"):
        ref = entry["objectRef"]
        below = f"/{ref['subresource']}" if "subresource" in ref else ""
        right = (ref.get("apiGroup", ""), ref["resource"] + below)
        found.add((*right, entry["verb"]))
        if entry["verb"] == "patch" and entry["responseStatus"].get("code") == 201:
            found.add((*right, "create"))
    return found
