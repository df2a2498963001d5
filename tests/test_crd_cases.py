"""The table of cases for the API server (tests/integration/crd_cases.py) leaves out no field, bound or rule."""

import pytest

from tests.integration.crd_bounds import BROKEN, REFUSED, SPEC, broken, keywords, parts, values, walked
from tests.integration.crd_cases import CASES, changed

GOOD = [pair for case in CASES for pair in values(SPEC, changed(case.path, case.good))]
BAD = [found for case in CASES for found in walked(SPEC, changed(case.path, case.bad))]
BOUNDS = [
    (path, keyword, tuple(sorted(bound)) if keyword == "required" else bound)
    for path, schema in parts(SPEC)
    if path
    for keyword, bound in schema.items()
    if keyword in BROKEN
]
RULES = sorted(
    {
        (path, rule.get("fieldPath", ""), rule["message"])
        for path, schema in parts(SPEC)
        for rule in schema.get("x-kubernetes-validations", [])
    }
)
OF_TWO_OBJECTS = "may not change while the type stays LoadBalancer"
"""The one rule about a change, which no single object breaks; tests/integration/test_crd.py breaks it."""


@pytest.mark.parametrize("path", [path for path, _ in parts(SPEC)])
def test_every_field_is_in_a_case(path):
    assert path in {known for known, _ in GOOD}


@pytest.mark.parametrize(("path", "keyword", "bound"), BOUNDS, ids=lambda value: str(value)[:40])
def test_every_bound_has_a_value_on_either_side(path, keyword, bound):
    beyond = [keywords(schema, value) for known, schema, value in BAD if known == path]
    assert [found for found in beyond if found and found[0] == keyword], "nothing beyond it alone"
    assert [value for known, value in GOOD if known == path and not BROKEN[keyword](bound, value)], (
        "nothing within it"
    )


@pytest.mark.parametrize(("path", "field", "message"), [rule for rule in RULES if rule[2] != OF_TWO_OBJECTS])
def test_every_rule_has_a_case_that_quotes_it(path, field, message):
    quoting = [case for case in CASES if any(words in message for words in quoted(case.words))]
    assert [
        case
        for case in quoting
        if (written := dict(values(SPEC, changed(case.path, case.bad)))).keys() >= {path}
        and ((path + field).lstrip(".") in written or field[1:] in case.words)
    ]


def quoted(words):
    """The words themselves, and what follows the field and the kind of error in front of them."""
    parts_of_it = (words, words.rpartition(": ")[2], words.partition(": ")[2].partition(": ")[2])
    return [part for part in parts_of_it if len(part) > 10]


@pytest.mark.parametrize(
    "case", [case for case in CASES if not case.words], ids=lambda case: f"{case.path}-{str(case.bad)[:50]}"
)
def test_a_case_that_quotes_nothing_breaks_a_bound_and_only_one(case):
    assert len(broken(changed(case.path, case.bad))) == 1


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.path}-{str(case.good)[:50]}")
def test_what_is_to_be_taken_breaks_no_bound(case):
    assert broken(changed(case.path, case.good)) == []


def test_there_is_something_to_walk():
    assert len(BOUNDS) > 100
    assert len(RULES) > 25
    assert OF_TWO_OBJECTS in {message for *_, message in RULES}
    assert BROKEN.keys() | {"type"} == REFUSED.keys()
