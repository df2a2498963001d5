from catfish_operator.plugin import revisions
from tests.operator.plugin.statuses import V1, V2, controller_revision, model


def test_a_revision_tells_its_verdict_its_failure_and_what_it_was_made_from():
    raw = controller_revision(
        V2,
        4,
        verdict="failed",
        inputs={"image": "a:1"},
        failure='{"reason": "OutOfMemory"}',
        rollout='{"result": "RolledBack"}',
    )
    (found,) = revisions.of_model(model(), [raw])
    assert (found.name, found.number, found.verdict, found.image) == (V2, 4, "failed", "a:1")
    assert (found.failure["reason"], found.rollout) == ("OutOfMemory", {"result": "RolledBack"})
    assert found.inputs == {"image": "a:1"}


def test_they_come_by_number_and_only_those_of_this_very_model():
    found = [
        controller_revision(V2, 3),
        controller_revision(V1, 1),
        controller_revision("cat-0", 2, uid="another"),
    ]
    assert [item.name for item in revisions.of_model(model(), found)] == [V1, V2]


def test_notes_that_cannot_be_read_count_as_none():
    raw = controller_revision(V1, 1, failure="{", rollout="[]") | {"data": None}
    (found,) = revisions.of_model(model(), [raw])
    assert (found.failure, found.rollout, found.inputs, found.image) == ({}, {}, {}, None)
