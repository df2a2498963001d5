"""Argo CD's health check of a model, run by the Lua that Argo CD speaks (5.1, with no more than its base library)."""

from pathlib import Path

import pytest
import yaml
from lupa.lua51 import LuaRuntime

from tests.operator.plugin.statuses import MODELS, named

MANIFEST = Path(__file__).parents[2] / "manifests" / "argocd" / "argocd-cm.yaml"
KEY = "resource.customizations.health.catfish.dev_CatfishModel"
HEALTH = {
    "unseen": "Progressing",
    "creating": "Progressing",
    "changed": "Progressing",
    "rolling": "Progressing",
    "canary": "Progressing",
    "baking": "Progressing",
    "settled": "Healthy",
    "scaled to zero": "Healthy",
    "rolled back": "Degraded",
    "retry pending": "Degraded",
    "first stalled": "Degraded",
    "paused": "Suspended",
    "deleted": "Progressing",
}


def health(body):
    """What Argo CD shows: status and message."""
    lua = LuaRuntime(register_eval=False)
    for library in ("io", "os", "require", "package", "debug", "python"):  # Argo CD opens none of them
        lua.globals()[library] = None
    script = yaml.safe_load(MANIFEST.read_text())["data"][KEY]
    check = lua.eval(f"function(obj) {script} end")
    found = check(lua.table_from(body, recursive=True))
    return found.status, found.message


def test_there_is_an_answer_for_every_state():
    assert set(HEALTH) == set(MODELS)


@pytest.mark.parametrize("state", MODELS)
def test_the_health_is_what_the_status_means(state):
    status, message = health(named(state))
    assert status == HEALTH[state]
    assert message.endswith(".")


def test_what_is_degraded_says_why():
    assert health(named("rolled back"))[1].startswith("The weights do not hash to spec.weights.sha256")


def test_a_model_without_pods_that_should_have_some_is_not_healthy():
    body = named("settled")
    body["status"]["conditions"][0] |= {"status": "False", "reason": "NoReadyPods", "message": "None."}
    assert health(body) == ("Progressing", "None.")


@pytest.mark.parametrize("left", range(4))
def test_a_status_that_lacks_a_condition_is_never_an_error(left):
    body = named("settled")
    del body["status"]["conditions"][left]
    assert health(body)[0] in {"Progressing", "Healthy"}
