"""The benchmark of scale reads the right thing off the audit log, and tells what it missed."""

import os
from collections import Counter

import pytest

from benchmarks import scale
from benchmarks.scale_cluster import Busy, delays


class Log:
    """Entries of an audit log."""

    def __init__(self, *entries):
        self._entries = entries

    def entries(self):
        return list(self._entries)


def entry(second, resource, name, verb="patch", namespace="default"):
    when = f"2026-01-01T00:00:{second:09.6f}Z"
    where = {"resource": resource, "name": name, "namespace": namespace}
    return {"verb": verb, "objectRef": where, "requestReceivedTimestamp": when, "stageTimestamp": when}


def test_a_delay_is_from_a_change_to_the_next_write_of_its_own_deployment():
    changed = Log(
        entry(1, "catfishmodels", "cat-1"),
        entry(2, "catfishmodels", "cat-2"),
        entry(3, "catfishmodels", "cat-3"),
        entry(1, "catfishmodels", "cat-1", namespace="noisy"),
    )
    written = Log(
        entry(0.5, "deployments", "cat-1"),  # before
        entry(1.1, "services", "cat-1"),
        entry(1.25, "deployments", "cat-1"),
        entry(9, "deployments", "cat-1"),
        entry(2.5, "deployments", "cat-2"),
    )
    assert list(delays(changed, written, "default")) == pytest.approx([0.25, 0.5])


def test_the_table_tells_what_was_missed():
    figures = [
        scale.Figure(title="writes", value=0, target=0),
        scale.Figure(title="p99", value=1.5, unit="s", target=1),
        scale.Figure(title="looks", value=7),
    ]
    text = scale.table(figures, Counter({"patch pods": 20}), 10)
    assert [line.split() for line in text.splitlines()] == [
        ["writes", "0.00", "target", "0"],
        ["p99", "1.50", "s", "target", "1", "MISSED"],
        ["looks", "7.00"],
        ["requests", "a", "model:"],
        ["patch", "pods", "2.00"],
    ]
    assert [one.met for one in figures] == [True, False, True]


def test_a_process_is_seen_at_work():
    with Busy(type("Process", (), {"pid": os.getpid()})) as busy:
        sum(range(3_000_000))
    assert busy.cpu > 0
    assert busy.peak > 10_000_000
