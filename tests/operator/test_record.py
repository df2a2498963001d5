import json

import pytest

from catfish_operator.resources import record
from catfish_operator.resources.record import Failure, Record

FULL = Record(
    verdict="failed",
    failure=Failure(
        reason="OutOfMemory",
        message="The server needs more memory.",
        pod="cat-1",
        exit_code=137,
        failed_at="2026-01-01T00:00:00Z",
        retry_at="2026-01-01T00:01:00Z",
        tries=3,
        retry="x",
        number=7,
    ),
    started_at="2026-01-01T00:00:00Z",
    released_at="2026-01-01T00:00:01Z",
    finished_at="2026-01-01T00:00:02Z",
    result="RolledBack",
    unobserved=True,
    weights={"sha256": "0" * 64},
    golden={"right": 3, "total": 4},
    pods=3,
    image_id="docker.io/library/catfish-server@sha256:0",
    retry="x",
)


def written(kept):
    return {"metadata": {"labels": record.labels(kept), "annotations": record.annotations(kept)}}


@pytest.mark.parametrize(
    "kept",
    [Record(), FULL, Record(verdict="proven", started_at="2026-01-02T03:04:05Z")],
    ids=["none", "full", "some"],
)
def test_what_is_written_is_read_again(kept):
    assert record.read(written(kept)) == kept


def test_nothing_to_remember_writes_nothing():
    assert (record.labels(Record()), record.annotations(Record())) == ({}, {})


def test_the_keys_are_those_of_the_status():
    raw = json.loads(record.annotations(FULL)["catfish.dev/failure"])
    assert set(raw) == {
        *("reason", "message", "pod", "exitCode", "failedAt", "retryAt", "tries", "retry", "number")
    }


@pytest.mark.parametrize(
    "raw",
    [None, [], {}, {"right": 1}, {"right": 2, "total": 1}, {"right": -1, "total": 1}, {"right": "1", "total": 1},
     {"right": 0, "total": 0}, {"right": 0.5, "total": 1}],
)  # fmt: skip
def test_a_score_that_is_none_is_not_told(raw):
    assert record.golden(raw) is None


@pytest.mark.parametrize("value", ["", "{", "[]", "1", "null", '{"reason": 1}', "[" * 9000])
def test_what_somebody_else_wrote_there_counts_as_never_written(value):
    names = (record.FAILURE, record.ROLLOUT, record.WEIGHTS)
    item = {
        "metadata": {"labels": {record.VERDICT_LABEL: "maybe"}, "annotations": dict.fromkeys(names, value)}
    }
    assert record.read(item) == Record()
