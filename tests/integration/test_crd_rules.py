"""For each rule and bound of the schema one object on either side, on a real API server with strict validation."""

import itertools
import json
import re

import pytest

from tests.integration.crd_bounds import REFUSED, broken
from tests.integration.crd_cases import CASES, SECRET_WORD, changed
from tests.integration.operator_process import MODELS

_numbers = itertools.count(1)
GOOD = [(path, good) for path, good in dict.fromkeys((case.path, json.dumps(case.good)) for case in CASES)]


def verdict(api, spec):
    """What the API server says of a model, as kubectl would have it validated; nothing is kept."""
    body = {
        "apiVersion": "catfish.dev/v1alpha1",
        "kind": "CatfishModel",
        "metadata": {"name": f"model-{next(_numbers)}", "namespace": "default"},
        "spec": spec,
    }
    path = MODELS.format("default") + "?dryRun=All&fieldValidation=Strict"
    status, answer = api.request("POST", path, body)
    return status == 201, answer.get("message", "")


@pytest.mark.parametrize(("path", "text"), GOOD, ids=lambda value: value[:60])
def test_a_good_value_is_taken(api, path, text):
    taken, said = verdict(api, changed(path, json.loads(text)))
    assert taken, said


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.path}-{str(case.bad)[:50]}")
def test_a_bad_value_is_refused_by_a_sentence_that_names_the_field(api, case):
    taken, said = verdict(api, changed(case.path, case.bad))
    assert not taken
    assert f"spec.{case.path}" in said
    assert case.words in said
    assert SECRET_WORD not in said
    for path, keyword in broken(changed(case.path, case.bad)):
        place = re.escape(f"spec.{path}").replace(r"\[\]", r"\[\d+\]").replace(r"\.\*", r"[.\[][^: ]+")
        below = r"\.\w+" if keyword == "required" else ""
        assert re.search(rf"{place}{below}: .*{re.escape(REFUSED[keyword])}", said), (keyword, said)


@pytest.mark.parametrize("path", ["weigths", "model.clases", "rollout.canary.second", "verification.sample"])
def test_a_typo_is_refused(api, path):
    taken, said = verdict(api, changed(path, {}))
    assert not taken
    assert f'unknown field "spec.{path}"' in said


def test_one_mistake_is_told_once(api):
    taken, said = verdict(api, changed("rollout.maxUnavailable", 1))
    assert not taken
    assert said.count("spec.rollout.canary.seconds: Invalid value: ") == said.count("Invalid value") == 1
