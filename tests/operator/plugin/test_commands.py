import copy
from datetime import UTC, datetime

import jsonpatch
import pytest

from catfish_operator.errors import Stale
from catfish_operator.plugin import commands
from catfish_operator.plugin.commands import Request
from catfish_operator.plugin.problems import NotPossible
from tests.operator.plugin.statuses import V1, V2, controller_revision, named

INPUTS = {
    "image": "catfish-server:v1",
    "weights": {"url": "https://models.example.com/v1.pt"},
    "model": {"architecture": "resnet18", "classes": ["cat", "fish"]},
}
NOW = datetime(2026, 1, 2, 3, 4, 5, 678, tzinfo=UTC)


class Cluster:
    """An API server with one model in it; `meanwhile` happens before the next patch."""

    namespace = "pets"

    def __init__(self, body, *found):
        self.body, self.found, self.meanwhile, self.patches = body, list(found), [], 0

    def model(self, _):
        return copy.deepcopy(self.body)

    def revisions(self, _):
        return copy.deepcopy(self.found)

    def patch(self, _, change):
        if self.meanwhile:
            self.meanwhile.pop(0)(self.body)
        self.patches += 1
        if isinstance(change, dict):
            self.body["metadata"].setdefault("annotations", {}).update(change["metadata"]["annotations"])
            return self.model(_)
        try:
            self.body = jsonpatch.apply_patch(self.body, change)
        except jsonpatch.JsonPatchTestFailed as error:
            raise Stale("changed") from error
        return self.model(_)


def cluster(state="rolled back"):
    return Cluster(
        named(state),
        controller_revision(V1, 1, verdict="proven", inputs=INPUTS),
        controller_revision(V2, 2, verdict="failed", inputs=INPUTS | {"image": "catfish-server:v2"}),
    )


def ask(verb, api, **request):
    return commands.VERBS[verb](api, Request(name="cat", now=NOW, **request))


def new_status(body):
    body["metadata"]["resourceVersion"] += "0"


def new_spec(body):
    new_status(body)
    body["metadata"]["generation"] += 1


def test_undo_writes_the_spec_of_the_last_proven_revision_back():
    api = cluster()
    answer = ask("undo", api)
    assert api.body["spec"] == INPUTS
    assert answer.data == {
        "name": "cat",
        "namespace": "pets",
        "revision": V1,
        "changed": ["spec.image", "spec.weights"],
    }
    assert answer.text == (
        f"cat: the spec asks for {V1} (image catfish-server:v1) again; changed: spec.image, spec.weights"
    )


def test_undo_is_decided_anew_when_the_operator_has_written_the_status_meanwhile():
    api = cluster()
    api.meanwhile = [new_status, new_status]
    ask("undo", api)
    assert api.body["spec"] == INPUTS


def test_undo_gives_way_to_somebody_who_changes_the_spec_meanwhile():
    api = cluster()
    api.meanwhile = [new_spec]
    with pytest.raises(Stale):
        ask("undo", api)
    assert api.body["spec"] == named("rolled back")["spec"]


def test_undo_does_not_try_for_ever():
    api = cluster()
    api.meanwhile = [new_status] * 99
    with pytest.raises(Stale):
        ask("undo", api)
    assert api.patches == commands.ATTEMPTS


def test_undo_to_a_revision_that_has_failed_says_so():
    api = cluster()
    api.body["spec"] = copy.deepcopy(INPUTS)
    assert "has failed before; `kubectl catfish retry cat`" in ask("undo", api, to=V2).text


def test_undo_to_what_the_spec_asks_for_writes_nothing():
    api = cluster()
    api.body["spec"] = copy.deepcopy(INPUTS)
    answer = ask("undo", api, to=V1)
    assert (answer.data["changed"], api.patches) == ([], 0)
    assert answer.text.endswith("already; nothing was written")


def test_undo_without_anything_to_go_back_to_writes_nothing():
    api = Cluster(named("first stalled"))
    with pytest.raises(NotPossible):
        ask("undo", api)
    assert api.patches == 0


def test_retry_sets_a_value_that_it_never_had():
    api = cluster()
    assert ask("retry", api).text == f"cat: {V2} is tried again"
    assert api.body["metadata"]["annotations"] == {"catfish.dev/retry": "2026-01-02T03:04:05.000678Z"}


def test_retry_says_when_nothing_is_known_to_have_failed():
    assert "knows of no failure" in ask("retry", cluster("settled")).text


def test_restart_sets_the_time_in_utc():
    api = cluster("settled")
    ask("restart", api)
    assert api.body["metadata"]["annotations"] == {"catfish.dev/restartedAt": "2026-01-02T03:04:05Z"}


def test_a_model_without_revisions_has_an_empty_history():
    answer = ask("history", Cluster(named("unseen")))
    assert (answer.text, answer.data) == ("cat has no revisions yet", [])
