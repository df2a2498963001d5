import pytest

from catfish_operator.plugin import explain
from catfish_operator.plugin.advice import ADVICE, OTHERWISE
from catfish_operator.plugin.explain import STATES, Explanation, Serving
from tests.operator.plugin.statuses import DIGEST, MODELS, NO_ROOM, THEN, V1, V2, named

STATE = {
    "unseen": "Unseen",
    "creating": "Progressing",
    "changed": "Changed",
    "rolling": "Progressing",
    "canary": "Canary",
    "baking": "Baking",
    "settled": "UpToDate",
    "scaled to zero": "UpToDate",
    "rolled back": "RolledBack",
    "retry pending": "RolledBack",
    "first stalled": "Stalled",
    "paused": "Paused",
    "deleted": "Deleting",
}


@pytest.mark.parametrize("state", MODELS)
def test_every_status_has_its_state(state):
    assert explain.explain(named(state)).state == STATE[state]


def test_every_state_is_told_apart_by_some_status():
    assert set(STATES) - set(STATE.values()) == {"Unknown"}


def test_a_model_that_was_rolled_back_is_explained_in_full():
    assert explain.explain(named("rolled back")) == Explanation(
        namespace="pets",
        name="cat",
        state="RolledBack",
        serving=(Serving(revision=V1, image="catfish-server:v1", pods=3),),
        url="http://192.0.2.1",
        wanted=V2,
        image="catfish-server:v2",
        weights="https://models.example.com/v2.pt",
        reason="ChecksumMismatch",
        message=DIGEST,
        pod="cat-2222222222-x2x5z",
        exit_code=13,
        since=THEN,
        to_do=(
            ADVICE["ChecksumMismatch"],
            "A changed spec is tried at once; the same one only after `kubectl catfish retry cat -n pets`.",
            "`kubectl catfish undo cat -n pets` makes the spec say again what is proven.",
        ),
    )


def test_a_failure_of_the_world_says_when_it_is_tried_again():
    found = explain.explain(named("retry pending"))
    assert (found.reason, found.message) == NO_ROOM
    assert found.retry_at == "2026-01-02T03:12:05Z"
    assert found.to_do[1] == "It is tried again by itself; `kubectl catfish retry cat -n pets` tries it now."


def test_a_first_revision_that_is_stalled_is_not_told_to_be_undone():
    found = explain.explain(named("first stalled"))
    assert (found.reason, found.message, found.to_do) == (
        "ChecksumMismatch",
        DIGEST,
        (ADVICE["ChecksumMismatch"],),
    )


def test_a_failure_of_another_revision_is_not_that_of_the_wanted_one():
    body = named("first stalled")
    body["status"]["failedRevisions"] = [{"name": V1, "reason": "OutOfMemory", "message": "."}]
    assert explain.explain(body).reason == "ChecksumMismatch"


def test_a_failed_spec_that_is_asked_for_again_is_explained_by_how_it_failed():
    body = named("rolled back")
    for condition in body["status"]["conditions"]:
        if condition["type"] == "UpToDate":
            condition["reason"] = "RevisionQuarantined"
    assert explain.explain(body) == explain.explain(named("rolled back"))


def test_a_reason_of_a_newer_operator_is_answered_in_general():
    body = named("first stalled")
    body["status"]["conditions"][3]["reason"] = "SomethingNew"
    assert explain.explain(body).to_do == (OTHERWISE,)


def test_a_healthy_model_has_nothing_to_do():
    found = explain.explain(named("settled"))
    assert (found.to_do, found.reason, found.message, found.since) == ((), None, None, THEN)


def test_a_model_that_is_paused_says_how_to_go_on():
    (sentence,) = explain.explain(named("paused")).to_do
    assert sentence.endswith(
        """kubectl patch cfm cat -n pets --type merge -p '{"spec":{"rollout":{"paused":false}}}'"""
    )


def test_a_rollout_names_the_undo_only_where_there_is_something_to_go_back_to():
    assert len(explain.explain(named("canary")).to_do) == 2
    assert explain.explain(named("creating")).to_do == ("Wait.",)


@pytest.mark.parametrize("left", range(4))
@pytest.mark.parametrize("state", [state for state in MODELS if state != "unseen"])
def test_a_status_that_lacks_a_condition_is_explained_all_the_same(state, left):
    body = named(state)
    del body["status"]["conditions"][left]
    assert explain.explain(body).state in STATES


def test_the_answer_for_programs_says_the_same():
    assert explain.as_json(explain.explain(named("rolled back"))) == {
        "namespace": "pets",
        "name": "cat",
        "state": "RolledBack",
        "serving": [{"revision": V1, "image": "catfish-server:v1", "pods": 3}],
        "url": "http://192.0.2.1",
        "wanted": {
            "revision": V2,
            "image": "catfish-server:v2",
            "weights": "https://models.example.com/v2.pt",
        },
        "notReady": None,
        "reason": "ChecksumMismatch",
        "message": DIGEST,
        "pod": "cat-2222222222-x2x5z",
        "exitCode": 13,
        "since": THEN,
        "retryAt": None,
        "toDo": list(explain.explain(named("rolled back")).to_do),
    }
