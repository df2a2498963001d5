"""Kubernetes' own types in the CRD are those of the API server, so that a typo in them is refused."""

import json

import pytest
import yaml

from tools.core_types import BLOCK, CRD, OPENAPI, structural, with_types

OURS = {"description", "pattern", "minLength", "maxLength", "maxItems", "x-kubernetes-validations"}
"""What may be stricter or said in other words in a type that is not copied."""
HELD_BACK = {
    "fieldRef": "the pod's own address and name are in CATFISH_ variables where the server needs them",
    "resourceFieldRef": "the server reads its cgroup",
    "fileKeyRef": "behind a feature gate",
}
TYPES = {"tolerations": "io.k8s.api.core.v1.Toleration", "env": "io.k8s.api.core.v1.EnvVar"}


@pytest.fixture(scope="module")
def schemas(kubectl):
    return json.loads(kubectl("get", "--raw", OPENAPI))["components"]["schemas"]


def test_the_copies_are_what_the_api_server_says(schemas):
    text = CRD.read_text()
    assert BLOCK.search(text)
    assert with_types(text, schemas) == text, "make crd-core-types"


@pytest.mark.parametrize("field", TYPES)
def test_a_type_that_is_written_by_hand_has_the_fields_of_the_api_servers(schemas, field):
    crd = yaml.safe_load(CRD.read_text())["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    ours = crd["properties"]["spec"]["properties"][field]["items"]
    assert list(differences(ours, structural(TYPES[field], schemas))) == []


def differences(ours, theirs, path=""):
    """Where ours is not theirs, or theirs and stricter."""
    for key in (ours.keys() | theirs.keys()) - OURS - {"properties", "required", "enum"}:
        if ours.get(key) != theirs.get(key):
            yield f"{path} {key}: {ours.get(key)} instead of {theirs.get(key)}"
    if not set(theirs.get("required", [])) <= set(ours.get("required", [])):
        yield f"{path} required: {ours.get('required')}"
    if not set(ours.get("enum", [])) <= set(theirs.get("enum", [])):
        yield f"{path} enum: {ours.get('enum')}"
    known, wanted = ours.get("properties", {}), theirs.get("properties", {})
    if known.keys() != wanted.keys() - HELD_BACK.keys():
        yield f"{path} properties: {sorted(known)} instead of {sorted(wanted)}"
    for name in known.keys() & wanted.keys():
        yield from differences(known[name], wanted[name], f"{path}.{name}")


def test_a_difference_would_be_seen(schemas):
    theirs = structural(TYPES["tolerations"], schemas)
    short = theirs | {
        "properties": {key: value for key, value in theirs["properties"].items() if key != "key"}
    }
    assert list(differences(short, theirs)) != []
