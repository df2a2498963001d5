import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from catfish_operator.plugin import explain, revisions, text
from catfish_operator.plugin import history as past
from tests.operator.plugin.statuses import MODELS, THEN, V1, V2, controller_revision, named

PAGE = (Path(__file__).parents[3] / "docs" / "kubectl-catfish.md").read_text()
NOW = datetime(2026, 1, 2, 3, 8, 5, tzinfo=UTC)


def screen(body, *, width=100, colours=False):
    return text.explanation(explain.explain(body), now=NOW, width=width, colours=colours)


def table(*, colours=False):
    body = named("rolled back")
    found = [
        controller_revision(
            V1,
            1,
            verdict="proven",
            inputs={"image": "catfish-server:v1"},
            rollout='{"result": "Completed", "startedAt": "2026-01-01T09:00:00Z"}',
        ),
        controller_revision(
            V2,
            2,
            verdict="failed",
            inputs={"image": "catfish-server:v2"},
            rollout='{"result": "RolledBack", "startedAt": "2026-01-02T03:04:01Z"}',
            failure='{"reason": "ChecksumMismatch"}',
        ),
    ]
    return text.history(past.history(body, revisions.of_model(body, found)), colours=colours)


@pytest.mark.parametrize("state", MODELS)
def test_every_state_fits_one_screen(state):
    lines = screen(named(state), width=80).splitlines()
    assert len(lines) <= 22
    assert all(len(line) <= 80 or "kubectl" in line for line in lines)


@pytest.mark.parametrize(
    "sample", [screen(named(state)) for state in ("rolled back", "retry pending", "canary")] + [table()]
)
def test_the_samples_of_the_page_are_what_is_printed(sample):
    assert sample in PAGE


def test_without_a_terminal_a_sentence_stays_on_its_line():
    assert "expected 9f86, got 60303a.\n" in screen(named("rolled back"), width=None)


def test_colours_are_only_added_and_only_where_they_are_wanted():
    for plain, painted in [
        (screen(named("rolled back")), screen(named("rolled back"), colours=True)),
        (table(), table(colours=True)),
    ]:
        assert "\x1b" not in plain
        assert "\x1b[31m" in painted
        assert re.sub(r"\x1b\[\d*m", "", painted) == plain


def test_what_the_cluster_says_cannot_steer_the_terminal():
    body = named("rolled back")
    body["status"]["failedRevisions"][0]["message"] = "a\x1b[2Jb\nc"
    assert "\x1b" not in screen(body)
    assert "a [2Jb c" in screen(body)


@pytest.mark.parametrize(
    ("ago", "words"),
    [
        (timedelta(0), "(0 s ago)"),
        (timedelta(seconds=119), "(119 s ago)"),
        (timedelta(minutes=2), "(2 min ago)"),
        (timedelta(hours=2), "(2 h ago)"),
        (timedelta(days=9), "(9 d ago)"),
        (timedelta(minutes=-4), "(in 4 min)"),
    ],
    ids=str,
)
def test_a_time_is_also_told_from_now(ago, words):
    found = explain.explain(named("settled"))
    then = datetime.fromisoformat(THEN)
    assert f"{THEN} {words}" in text.explanation(found, now=then + ago, width=None, colours=False)


def test_a_time_that_is_none_is_shown_as_it_came():
    body = named("settled")
    body["status"]["conditions"][1]["lastTransitionTime"] = "yesterday"
    assert "Since        yesterday" in screen(body)
