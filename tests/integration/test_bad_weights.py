"""What a server says of its weights when it ends is what the model's status says, for every reason there is.

The servers that say it are run by tests/model_server/test_bad_weights.py, on the same table.
"""

import json

import pytest

from catfish_server import errors
from tests.bad_weights import KINDS
from tests.integration.kubelet import failing, kubelet
from tests.integration.operator_process import MODELS, condition, model, wait_for

ONE = {bad.reason: bad for bad in KINDS.values()}
"""A kind of every reason."""
QUICK = {"minReadySeconds": 1, "progressDeadlineSeconds": 8, "canary": {"seconds": 0}, "bakeSeconds": 0}


def sentence(reason):
    """As the server would say it, with what a careless one might add."""
    bad = ONE[reason]
    return f"{bad.field}: {bad.says}"


def ended(reason):
    """The status of a pod whose server ended for the reason."""
    failure = getattr(errors, reason)
    message = {"reason": reason, "message": sentence(reason), "retriable": failure.retriable}
    return failing(json.dumps(message), exit_code=failure.exit_code)


@pytest.fixture(scope="module")
def stalled(plane, api, operator):  # noqa: ARG001 - it runs meanwhile
    """A model for every reason, by reason, once it is Stalled; all of them fail at the same time."""
    namespace = "bad-weights"
    plane.kubectl("create", "namespace", namespace)
    by_name = {reason.lower(): reason for reason in ONE}
    found = {}

    def script(pod):
        return ended(by_name[pod["metadata"]["labels"]["app.kubernetes.io/instance"]])

    def look():
        for body in api.items(MODELS.format(namespace)):
            reason = by_name[body["metadata"]["name"]]
            if condition(body, "Stalled").get("reason") == reason:
                found.setdefault(reason, body)
        return found.keys() == ONE.keys()

    with kubelet(api, namespace, script):
        for name in by_name:
            api.create(MODELS.format(namespace), model(name, rollout=QUICK))
        wait_for(look, seconds=90, what=f"all to be Stalled for their reasons; {sorted(ONE)}")
        yield found
    plane.kubectl("delete", "namespace", namespace, "--wait=false")


@pytest.mark.parametrize("reason", ONE)
def test_the_sentence_of_the_server_is_the_sentence_of_the_status(stalled, reason):
    body = stalled[reason]
    assert condition(body, "Stalled")["status"] == "True"
    assert condition(body, "Ready")["status"] == "False"
    for text in (body["status"]["message"], condition(body, "Stalled")["message"]):
        assert sentence(reason) in text
        assert "\n" not in text
