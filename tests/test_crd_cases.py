"""The table of cases for the API server (tests/integration/crd_cases.py) leaves out no field, bound or rule."""

from pathlib import Path

import pytest
import yaml

from tests.integration.crd_cases import CASES, changed

CRD = Path(__file__).parent.parent / "crds" / "catfishmodels.yaml"
SPEC = yaml.safe_load(CRD.read_text())["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"][
    "spec"
]
COPIED = ("affinity", "topologySpreadConstraints[]")
"""Kubernetes' own types; tests/integration/test_crd_types.py compares them with the API server's."""
BROKEN = {
    "minimum": lambda bound, value: isinstance(value, int | float) and value < bound,
    "maximum": lambda bound, value: isinstance(value, int | float) and value > bound,
    "exclusiveMinimum": lambda _, value: value == 0,
    "minLength": lambda bound, value: isinstance(value, str) and len(value) < bound,
    "maxLength": lambda bound, value: isinstance(value, str) and len(value) > bound,
    "pattern": lambda _, value: isinstance(value, str),
    "enum": lambda bound, value: value not in bound,
    "minItems": lambda bound, value: isinstance(value, list) and len(value) < bound,
    "maxItems": lambda bound, value: isinstance(value, list) and len(value) > bound,
    "maxProperties": lambda bound, value: isinstance(value, dict) and len(value) > bound,
    "required": lambda bound, value: isinstance(value, dict) and not bound <= value.keys(),
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
    yield path, value
    if path in COPIED:
        return
    if isinstance(value, list):
        for item in value[:3]:
            yield from values(schema.get("items", {}), item, f"{path}[]")
    if isinstance(value, dict):
        for name, item in value.items():
            if name in schema.get("properties", {}):
                yield from values(schema["properties"][name], item, f"{path}.{name}" if path else name)
            elif "additionalProperties" in schema:
                yield from values(schema["additionalProperties"], item, f"{path}.*")


GOOD = [pair for case in CASES for pair in values(SPEC, changed(case.path, case.good))]
BAD = [pair for case in CASES for pair in values(SPEC, changed(case.path, case.bad))]
BOUNDS = [
    (path, keyword, set(bound) if keyword == "required" else bound)
    for path, schema in parts(SPEC)
    if path
    for keyword, bound in schema.items()
    if keyword in BROKEN
]
MESSAGES = sorted(
    {rule["message"] for _, schema in parts(SPEC) for rule in schema.get("x-kubernetes-validations", [])}
)


@pytest.mark.parametrize("path", [path for path, _ in parts(SPEC)])
def test_every_field_is_in_a_case(path):
    assert path in {known for known, _ in GOOD}


@pytest.mark.parametrize(("path", "keyword", "bound"), BOUNDS, ids=lambda value: str(value)[:40])
def test_every_bound_has_a_value_on_either_side(path, keyword, bound):
    broken = BROKEN[keyword]
    assert [value for known, value in BAD if known == path and broken(bound, value)], "nothing beyond it"
    within = [value for known, value in GOOD if known == path]
    assert [value for value in within if keyword == "pattern" or not broken(bound, value)], (
        "nothing within it"
    )


@pytest.mark.parametrize("message", MESSAGES)
def test_every_rule_has_a_case_that_quotes_it(message):
    assert [case for case in CASES if len(case.words) > 10 and any(w in message for w in quoted(case.words))]


def quoted(words):
    """The words themselves, and what follows the field and the kind of error in front of them."""
    return [words, words.rpartition(": ")[2], words.partition(": ")[2].partition(": ")[2]]


def test_there_is_something_to_walk():
    assert len(BOUNDS) > 100
    assert len(MESSAGES) > 25
