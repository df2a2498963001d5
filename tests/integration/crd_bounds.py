"""The bounds of the schema, and which of them a spec breaks; for the tests of `crd_cases`.

`REFUSED` is how the API server says so: k8s.io/kube-openapi/pkg/validation/errors and apiextensions-apiserver's
pkg/apiserver/validation, which turns those into errors of a field.
"""

import re
from pathlib import Path

import yaml

CRD = Path(__file__).parents[2] / "crds" / "catfishmodels.yaml"
SPEC = yaml.safe_load(CRD.read_text())["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"][
    "spec"
]
COPIED = ("affinity", "topologySpreadConstraints[]")
"""Kubernetes' own types; test_crd_types.py compares them with the API server's."""
CLASSES_OF_GO = {r"\p{C}": r"\x00-\x1f\x7f-\x9f", r"\p{Z}": r"\s"}
"""What Go's regular expressions have and Python's do not, as far as the cases go."""


def matches(pattern: str, value: str) -> bool:
    """Whether a string is as a pattern of the schema wants it."""
    for go, python in CLASSES_OF_GO.items():
        pattern = pattern.replace(go, python)
    return re.search(pattern, value) is not None


BROKEN = {
    "maximum": lambda bound, value: isinstance(value, int | float) and value > bound,
    "minimum": lambda bound, value: isinstance(value, int | float) and value < bound,
    "exclusiveMinimum": lambda _, value: value == 0,
    "maxLength": lambda bound, value: isinstance(value, str) and len(value) > bound,
    "minLength": lambda bound, value: isinstance(value, str) and len(value) < bound,
    "pattern": lambda bound, value: isinstance(value, str) and not matches(bound, value),
    "enum": lambda bound, value: value not in bound,
    "minItems": lambda bound, value: isinstance(value, list) and len(value) < bound,
    "maxItems": lambda bound, value: isinstance(value, list) and len(value) > bound,
    "maxProperties": lambda bound, value: isinstance(value, dict) and len(value) > bound,
    "required": lambda bound, value: isinstance(value, dict) and not set(bound) <= value.keys(),
}
"""Whether a value is beyond a bound. Of a string's, the API server tells the first alone, in this order."""
REFUSED = {
    "maximum": "should be less than or equal to",
    "minimum": "should be greater than",
    "exclusiveMinimum": "should be greater than",
    "maxLength": "Too long",
    "minLength": "should be at least",
    "pattern": "should match",
    "enum": "Unsupported value",
    "minItems": "should have at least",
    "maxItems": "Too many",
    "maxProperties": "Too many",
    "required": "Required value",
    "type": "must be of type",
}
TYPES = {
    "string": lambda value: isinstance(value, str),
    "boolean": lambda value: isinstance(value, bool),
    "integer": lambda value: isinstance(value, int) and not isinstance(value, bool),
    "number": lambda value: isinstance(value, int | float) and not isinstance(value, bool),
    "array": lambda value: isinstance(value, list),
    "object": lambda value: isinstance(value, dict),
}


def parts(schema, path=""):
    """Every schema of the spec with its path."""
    yield path, schema
    if path in COPIED:
        return
    for name, below in schema.get("properties", {}).items():
        yield from parts(below, f"{path}.{name}" if path else name)
    for key, mark in (("items", "[]"), ("additionalProperties", ".*")):
        if key in schema:
            yield from parts(schema[key], path + mark)


def values(schema, value, path=""):
    """Every value of a spec with the path of its schema."""
    for known, _, item in walked(schema, value, path):
        yield known, item


def walked(schema, value, path=""):
    """Every value of a spec with the path of its schema and that schema."""
    yield path, schema, value
    if path in COPIED:
        return
    if isinstance(value, list):
        for item in value[:3]:
            yield from walked(schema.get("items", {}), item, f"{path}[]")
    if isinstance(value, dict):
        for name, item in value.items():
            if name in schema.get("properties", {}):
                yield from walked(schema["properties"][name], item, f"{path}.{name}" if path else name)
            elif "additionalProperties" in schema:
                yield from walked(schema["additionalProperties"], item, f"{path}.*")


def keywords(schema, value):
    """The bounds of one schema that a value is beyond, in the order in which the API server looks at them."""
    if "type" in schema and not TYPES[schema["type"]](value):
        return ["type"]
    return [
        keyword for keyword, broken in BROKEN.items() if keyword in schema and broken(schema[keyword], value)
    ]


def broken(spec):
    """The bounds that a spec breaks: the path of the schema, and the bound that the API server tells of."""
    return [
        (path, found[0]) for path, schema, value in walked(SPEC, spec) if (found := keywords(schema, value))
    ]
