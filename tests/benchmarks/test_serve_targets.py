"""`make bench-serve` ends with 0 only where every target was measured and met."""

import copy
import json
from pathlib import Path

import pytest

from benchmarks import serve, serve_neighbour, serve_targets
from tests.benchmarks.test_serve_load import server, target


def row(name, clients, rate=1.0, p50=1.0, failed=0):
    return {"server": name, "clients": clients, "rate_ratio": rate, "p50_ratio": p50, "failed": failed}


OVERLOAD = {
    "rated": 20.0,
    "offered": 79.0,
    "goodput_share": 0.93,
    "in_time_share": 0.995,
    "failed": 0,
    "refused_without_retry_after": 0,
    "probe_p99_ms": 12.0,
}
RESNET50 = {
    "workload": "resnet50",
    "rows": [
        row("catfish", 32),
        row("mosec", 32, rate=1.6),
        row("mosec+engine", 32, rate=1.05),
        row("catfish", 1),
        row("mosec", 1, p50=0.65),
    ],
    "ready_seconds": 6.0,
    "bare_seconds": 4.0,
    "pss_mib": 500.0,
    "bare_pss_mib": 300.0,
    "neighbour": {"p50_ratio": 1.1},
    "overload": OVERLOAD,
}
TINY = {
    "workload": "tiny",
    "rows": [row("catfish", 32), row("mosec", 32, rate=0.96), row("flask", 32, rate=3.5)],
    "overload": OVERLOAD | {"offered": 54.0, "goodput_share": 0.3, "probe_p99_ms": 400.0},
}


def changed(result, where, value):
    result = copy.deepcopy(result)
    *path, last = where
    inner = result
    for step in path:
        inner = inner[step]
    inner[last] = value
    return result


@pytest.mark.parametrize("result", [RESNET50, TINY], ids=["resnet50", "tiny"])
def test_a_run_that_meets_every_target_is_told_so(result):
    assert [str(one) for one in serve_targets.verdicts(result) if not one.met] == []


CASES = [
    (RESNET50, ("rows", 1, "rate_ratio"), 1.49, "MISSED rate of 32 clients, times mosec's: 1.49 (>= 1.5)"),
    (
        RESNET50,
        ("rows", 2, "rate_ratio"),
        0.9,
        "MISSED rate of 32 clients, times mosec's with the same engine: 0.9",
    ),
    (RESNET50, ("rows", 4, "p50_ratio"), 0.71, "MISSED p50 of 1 client, times mosec's: 0.71 (<= 0.7)"),
    (RESNET50, ("rows", 3, "failed"), 1, "MISSED answers that failed: 1 (<= 0)"),
    (
        RESNET50,
        ("rows", 1, "rate_ratio"),
        None,
        "MISSED rate of 32 clients, times mosec's: not measured (>= 1.5)",
    ),
    (
        RESNET50,
        ("rows", 4, "server"),
        "other",
        "MISSED p50 of 1 client, times mosec's: not measured (<= 0.7)",
    ),
    (
        RESNET50,
        ("neighbour", "p50_ratio"),
        1.4,
        "MISSED p50 of 1 client beside a busy neighbour, times that in quiet",
    ),
    (RESNET50, ("pss_mib",), 540.0, "MISSED memory beyond the bare import, MB: 252 (<= 250)"),
    (RESNET50, ("ready_seconds",), 7.1, "MISSED start to ready beyond the bare import, s: 3.1 (<= 3)"),
    (TINY, ("rows", 1, "rate_ratio"), 0.94, "MISSED rate of 32 clients, times mosec's: 0.94 (>= 0.95)"),
    (TINY, ("rows", 2, "rate_ratio"), 2.9, "MISSED rate of 32 clients, times Flask's: 2.9 (>= 3)"),
    (
        RESNET50,
        ("overload", "goodput_share"),
        0.89,
        "MISSED overload: good answers, of the rate without it: 0.89",
    ),
    (TINY, ("rows", 0, "failed"), 2, "MISSED answers that failed: 2 (<= 0)"),
    (TINY, ("overload", "failed"), 1, "MISSED overload: answers that failed: 1 (<= 0)"),
    (
        TINY,
        ("overload", "refused_without_retry_after"),
        3,
        "MISSED overload: refusals without Retry-After: 3 (<= 0)",
    ),
    (
        TINY,
        ("overload", "in_time_share"),
        0.98,
        "MISSED overload: answers within 5 s, of all: 0.98 (>= 0.99)",
    ),
    (
        TINY,
        ("overload", "in_time_share"),
        None,
        "MISSED overload: answers within 5 s, of all: not measured (>= 0.99)",
    ),
    (RESNET50, ("overload", "failed"), 2, "MISSED overload: answers that failed: 2 (<= 0)"),
    (
        RESNET50,
        ("overload", "refused_without_retry_after"),
        1,
        "MISSED overload: refusals without Retry-After: 1",
    ),
    (RESNET50, ("overload", "probe_p99_ms"), 51.0, "MISSED overload: p99 of the probes, ms: 51 (<= 50)"),
    (
        RESNET50,
        ("overload", "probe_p99_ms"),
        None,
        "MISSED overload: p99 of the probes, ms: not measured (<= 50)",
    ),
]


@pytest.mark.parametrize(("result", "where", "value", "told"), CASES, ids=[case[3][:60] for case in CASES])
def test_a_target_that_is_missed_or_not_measured_is_named(result, where, value, told):
    missed = [str(one) for one in serve_targets.verdicts(changed(result, where, value)) if not one.met]
    assert len(missed) == 1
    assert missed[0].startswith(told)


@pytest.mark.parametrize(
    ("measured", "rated", "offered", "targets"),
    [(RESNET50, 20.0, 70.0, 5), (RESNET50, 0.0, 0.0, 5), (TINY, 20.0, 29.0, 4), (TINY, 0.0, 0.0, 4)],
    ids=["resnet50, too few", "resnet50, none", "tiny, too few", "tiny, none"],
)
def test_an_overload_that_was_none_has_proven_nothing(measured, rated, offered, targets):
    result = changed(changed(measured, ("overload", "offered"), offered), ("overload", "rated"), rated)
    missed = [str(one) for one in serve_targets.verdicts(result) if not one.met]
    assert len(missed) == targets
    assert all("not measured" in line for line in missed[1:])


def test_without_another_engine_the_same_one_is_mosecs_own():
    result = changed(RESNET50, ("rows", 2, "server"), "other")
    assert [one.value for one in serve_targets.verdicts(result)][:2] == [1.6, 1.6]


@pytest.mark.parametrize(("goodput", "code"), [(0.95, 0), (0.85, 1)])
def test_the_command_ends_with_1_where_a_target_was_missed(monkeypatch, tmp_path, capsys, goodput, code):
    measured = changed(RESNET50, ("overload", "goodput_share"), goodput)
    monkeypatch.setattr(serve, "measure", lambda _name, _workload, **_options: dict(measured))
    monkeypatch.setattr(serve.serve_table, "show", lambda _: None)
    monkeypatch.setattr(serve, "TARGET", tmp_path / "serve.json")
    monkeypatch.setattr("sys.argv", ["serve", "--only", "resnet50"])
    assert serve.main() == code
    assert ("MISSED" in capsys.readouterr().out) is bool(code)
    written = json.loads((tmp_path / "serve.json").read_text())[0]["targets"]
    assert [one["met"] for one in written].count(False) == code


def test_a_neighbour_keeps_a_core_busy_while_one_client_asks(monkeypatch, tmp_path):
    noted = tmp_path / "spinning"
    monkeypatch.setattr(serve_neighbour, "SPINNING", ("sh", "-c", f"echo $$ >> {noted}; exec sleep 60"))
    with server((200, {}), seconds=0.02) as port:
        found = serve_neighbour.neighbour(target(port), seconds=0.5, count=2)
    assert found["quiet_p50_ms"] >= 20
    assert found["p50_ratio"] == pytest.approx(found["busy_p50_ms"] / found["quiet_p50_ms"], rel=0.5)
    pids = [int(line) for line in noted.read_text().split()]
    assert len(pids) == 2
    assert not any(Path(f"/proc/{pid}").exists() for pid in pids), "none is left"
