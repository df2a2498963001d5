"""The audit log as the tests read it: what is not there to be read is never taken for nothing done."""

import json

import pytest

from tests.integration.audit import Audit
from tests.integration.operator_process import OPERATOR


def line(verb="patch", **more):
    ref = {"resource": "deployments", "namespace": "default", "name": "cat"}
    entry = {"user": {"username": OPERATOR}, "stage": "ResponseComplete", "verb": verb, "objectRef": ref}
    return json.dumps(entry | more) + "\n"


@pytest.fixture
def log(tmp_path):
    path = tmp_path / "audit.log"
    path.write_text(line() * 3)
    return path


def add(path, text):
    with path.open("a") as file:
        file.write(text)


def test_only_what_comes_after_is_read(log):
    audit = Audit(log)
    assert audit.writes() == []
    add(log, line("update") + line("get") + line()[:20])
    assert audit.writes() == ["update deployments default/cat"]


@pytest.mark.parametrize("present", ["", line() * 9], ids=["shorter", "longer"])
def test_a_log_that_was_rotated_fails_whatever_is_asked(log, present):
    audit = Audit(log)
    log.rename(log.with_name("audit-2026.log"))
    log.write_text(present)
    with pytest.raises(AssertionError, match="was rotated"):
        audit.writes()


def test_a_delete_without_the_uid_of_what_it_means_is_found(log):
    audit = Audit(log)
    add(log, line("delete", requestObject={"preconditions": {"uid": "1"}}))
    assert audit.deletes_without_a_uid() == []
    add(log, line("delete", requestObject={"propagationPolicy": "Background"}) + line("deletecollection"))
    assert audit.deletes_without_a_uid() == [
        "delete deployments default/cat",
        "deletecollection deployments default/cat",
    ]
