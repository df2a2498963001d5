"""The audit log of a run is read whole, however often it was rotated."""

import json
from datetime import UTC, datetime

import pytest

from tests.e2e.audit import AuditOfRun
from tests.integration.operator_process import OPERATOR

MINUTES = {
    "audit-2030-01-01T00-05-00.000.log": (1, 4),
    "audit-2030-01-01T00-09-00.000.log": (5, 8),
    "audit.log": (9,),
}


def line(minute, user=OPERATOR):
    return {
        "stage": "ResponseComplete",
        "verb": f"at {minute}",
        "user": {"username": user},
        "requestReceivedTimestamp": f"2030-01-01T00:{minute:02}:00.000000Z",
    }


@pytest.fixture
def audit(tmp_path):
    for name, minutes in MINUTES.items():
        entries = [line(minute, user) for minute in minutes for user in (OPERATOR, "somebody")]
        (tmp_path / name).write_text("".join(json.dumps(entry) + "\n" for entry in entries))

    def since(minute, user=OPERATOR):
        moment = datetime(2030, 1, 1, 0, minute, tzinfo=UTC)
        return AuditOfRun(tmp_path / "audit.log", user=user, since=moment)

    return since


def test_all_files_are_read_in_order_and_nothing_of_before_the_run(audit):
    assert [entry["verb"] for entry in audit(4).entries()] == ["at 4", "at 5", "at 8", "at 9"]


def test_operators_of_several_namespaces_are_one_user_by_a_pattern(audit, tmp_path):
    users = ("system:serviceaccount:a:catfish-operator", "system:serviceaccount:b:catfish-operator")
    with (tmp_path / "audit.log").open("a") as log:
        log.writelines(json.dumps(line(10, user)) + "\n" for user in (*users, f"{users[0]}-not", "a"))
    found = audit(10, "system:serviceaccount:*:catfish-operator").entries()
    assert [entry["user"]["username"] for entry in found] == list(users)


def test_a_run_that_began_before_the_oldest_line_is_not_covered_once_files_may_be_gone(audit, tmp_path):
    assert audit(1).covers_the_run()
    assert not audit(0).covers_the_run()
    (tmp_path / min(MINUTES)).unlink()
    assert audit(0).covers_the_run()


def test_a_line_that_is_still_being_written_is_left_for_the_next_time(audit, tmp_path):
    with (tmp_path / "audit.log").open("a") as log:
        log.write(json.dumps(line(10))[:-5])
    assert [entry["verb"] for entry in audit(9).entries()] == ["at 9"]
