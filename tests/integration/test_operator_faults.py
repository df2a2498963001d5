"""The operator when things go wrong around it: killed, cut off, without its CRD, confined to a namespace."""

import time

from tests.integration.audit import Audit
from tests.integration.conftest import CRD, establish
from tests.integration.kubelet import kubelet
from tests.integration.operator_process import (
    BUDGETS,
    DEPLOYMENTS,
    MODELS,
    REVISIONS,
    SERVICES,
    model,
    settled,
    wait_for,
)

CHILDREN = 4
KILLED_AFTER = (0, 1, 1, 2, 2, 3)  # that many of them are there, or one more
OUTAGE_SECONDS = 20


def settle(api, namespace, name="cat", *, seconds=40):
    def look():
        body = api.get(f"{MODELS.format(namespace)}/{name}")
        return body if body and settled(body) else None

    return wait_for(look, seconds=seconds, what=f"{name} is up to date")


def test_sigterm_ends_it_with_0_within_seconds(start):
    operator = start().wait_ready()
    begun = time.monotonic()
    assert operator.terminate(seconds=10) == 0
    assert time.monotonic() - begun < 8
    assert operator.lines()[-1]["message"] == "stopped"


def kill_after(operator, audit, name, writes):
    """Kills the operator when it has made so many children of a model; returns how many it has then made."""
    until = time.monotonic() + 30
    while len(made(audit, name)) < writes:
        assert time.monotonic() < until, f"{made(audit, name)} of {name} made"
    operator.kill()
    return len(made(audit, name))


def made(audit, name=""):
    """The children (of a model) that the operator has made, by resource and name."""
    return [
        (entry["objectRef"]["resource"], entry["objectRef"].get("name"))
        for entry in audit.entries()
        if entry["responseStatus"]["code"] == 201
        and entry["objectRef"]["resource"] != "events"
        and entry["objectRef"].get("name", "").startswith(name)
    ]


def test_killed_after_any_write_it_converges_and_makes_nothing_twice(start, plane, api, namespace):
    names = [f"cat-{number}" for number in range(len(KILLED_AFTER))]
    with kubelet(api, namespace):
        operator = start()
        audit = Audit(plane.audit_log)
        found = []
        for name, writes in zip(names, KILLED_AFTER, strict=True):
            operator.wait_ready()
            api.create(MODELS.format(namespace), model(name, replicas=2))
            found.append(kill_after(operator, audit, name, writes))
            operator = start()
        assert [number for number in found if 0 < number < CHILDREN], found
        for name in names:
            settle(api, namespace, name)
        for kind in (DEPLOYMENTS, SERVICES, BUDGETS):
            assert sorted(item["metadata"]["name"] for item in api.items(kind.format(namespace))) == names
        assert len(api.items(REVISIONS.format(namespace), "catfish.dev/model")) == len(names)
        # Of a request in the air when its operator was killed the log may say that it ended otherwise, though the
        # object is there. So each is made once at most here; that all of them are there is what the lists above say.
        every = made(audit)
        assert len(every) == len(set(every))


def test_a_restart_with_settled_models_writes_nothing(start, plane, api, namespace):
    operator = start().wait_ready()
    with kubelet(api, namespace):
        for name in ("cat", "dog"):
            api.create(MODELS.format(namespace), model(name, replicas=2))
        for name in ("cat", "dog"):
            settle(api, namespace, name)
        operator.terminate()
        audit = Audit(plane.audit_log)
        start(CATFISH_RESYNC_SECONDS="2").wait_ready().wait_resyncs(3)
        assert audit.writes(namespace) == []


def test_an_api_server_that_goes_away_is_waited_for_calmly(start, plane, api, namespace):
    operator = start(CATFISH_RESYNC_SECONDS="5").wait_ready()
    with kubelet(api, namespace):
        api.create(MODELS.format(namespace), model(replicas=2))
        settle(api, namespace)
        plane.stop_apiserver()
        begun = time.monotonic()
        try:
            while time.monotonic() - begun < OUTAGE_SECONDS:
                assert operator.running()
                assert operator.probe("/livez") == 200
                time.sleep(0.5)
        finally:
            plane.start_apiserver()
            plane.wake()  # the operator is the subject; the controller-manager would be back half a minute later
        audit = Audit(plane.audit_log)
        api.merge(f"{MODELS.format(namespace)}/cat", {"spec": {"image": "catfish-server:v2"}})
        wait_for(lambda: _image(api, namespace) == "catfish-server:v2", seconds=30, what="the new image")
        assert sum(audit.requests().values()) < 100
        assert settle(api, namespace)["status"]["observedGeneration"] == 2
    warnings = [line["message"] for line in operator.lines() if line["level"] in {"warning", "error"}]
    assert len(warnings) <= 5, warnings


def _image(api, namespace):
    (container,) = api.get(f"{DEPLOYMENTS.format(namespace)}/cat")["spec"]["template"]["spec"]["containers"]
    return container["image"]


def test_a_crd_that_goes_and_comes_back(start, plane, api, namespace):
    operator = start(CATFISH_RESYNC_SECONDS="2").wait_ready()
    with kubelet(api, namespace):
        api.create(MODELS.format(namespace), model())
        settle(api, namespace)
        plane.kubectl("delete", "-f", str(CRD))
        wait_for(
            lambda: any("CRD is not installed" in line["message"] for line in operator.lines()),
            what="the operator says so",
        )
        establish(plane)
        wait_for(
            lambda: api.request("GET", MODELS.format(namespace))[0] == 200, what="the API is served again"
        )
        api.create(MODELS.format(namespace), model("dog"))
        settle(api, namespace, "dog")
        assert operator.running()


def test_started_before_its_crd_it_waits_and_then_works(start, plane, api, namespace):
    plane.kubectl("delete", "-f", str(CRD))
    try:
        operator = start(CATFISH_RESYNC_SECONDS="2")
        wait_for(lambda: "CRD is not installed" in operator.text(), what="the operator says so")
    finally:
        establish(plane)
    with kubelet(api, namespace):
        api.create(MODELS.format(namespace), model())
        settle(api, namespace)


def test_confined_to_a_namespace_it_leaves_the_others_alone(start, plane, api, namespace):
    api.create("/api/v1/namespaces", {"metadata": {"name": f"{namespace}-other"}})
    audit = Audit(plane.audit_log)
    start(CATFISH_NAMESPACE=namespace, CATFISH_RESYNC_SECONDS="2").wait_ready()
    with kubelet(api, namespace):
        api.create(MODELS.format(f"{namespace}-other"), model())
        api.create(MODELS.format(namespace), model())
        settle(api, namespace)
        asked = {entry["objectRef"].get("namespace") for entry in audit.entries() if "objectRef" in entry}
        assert asked == {namespace}
        assert api.get(f"{DEPLOYMENTS.format(namespace + '-other')}/cat") is None
    api.delete(f"/api/v1/namespaces/{namespace}-other")


def test_a_namespace_with_a_model_can_be_deleted(start, api, plane):
    start().wait_ready()
    api.create("/api/v1/namespaces", {"metadata": {"name": "short-lived"}})
    with kubelet(api, "short-lived"):
        wait_for(
            lambda: api.get("/api/v1/namespaces/short-lived/serviceaccounts/default"), what="its account"
        )
        api.create(MODELS.format("short-lived"), model(replicas=2))
        settle(api, "short-lived")
        plane.kubectl("delete", "namespace", "short-lived", "--wait=false")
        wait_for(lambda: api.get("/api/v1/namespaces/short-lived") is None, seconds=60, what="it is gone")
