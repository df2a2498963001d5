from catfish_operator.plugin import history, revisions
from tests.operator.plugin.statuses import V1, V2, controller_revision, named


def test_the_latest_asked_for_comes_first_with_what_became_of_it():
    body = named("rolled back")
    found = [
        controller_revision(
            V1,
            1,
            verdict="proven",
            inputs={"image": "a:1", "weights": {"url": "s3://b/1"}},
            rollout='{"result": "Completed", "startedAt": "2026-01-01T09:00:00Z"}',
        ),
        controller_revision(V2, 2, verdict="failed", failure='{"reason": "OutOfMemory"}'),
    ]
    rows = history.history(body, revisions.of_model(body, found))
    assert history.as_json(rows) == [
        {
            "revision": V2,
            "verdict": "failed",
            "result": None,
            "reason": "OutOfMemory",
            "startedAt": None,
            "image": None,
            "weights": None,
            "wanted": True,
            "serves": False,
        },
        {
            "revision": V1,
            "verdict": "proven",
            "result": "Completed",
            "reason": None,
            "startedAt": "2026-01-01T09:00:00Z",
            "image": "a:1",
            "weights": "s3://b/1",
            "wanted": False,
            "serves": True,
        },
    ]


def test_a_failure_of_which_the_revision_was_cleared_is_not_told():
    body = named("settled")
    found = [controller_revision(V2, 1, verdict="proven", failure='{"reason": "OutOfMemory"}')]
    assert history.history(body, revisions.of_model(body, found))[0].reason is None
