"""Two operators and one Lease on a real API server: one writes, and is followed when it goes or is held up."""

import time
from datetime import UTC, datetime

import pytest

from tests.integration.audit import WRITES, Audit
from tests.integration.house import changing
from tests.integration.kubelet import kubelet
from tests.integration.operator_process import DEPLOYMENTS, MODELS, model, settled, wait_for

LEASE = "/apis/coordination.k8s.io/v1/namespaces/catfish-system/leases/catfish-operator"
TAKE_OVER_SECONDS = 20
STOPPED_SECONDS = 60  # the Lease is over after 15


@pytest.fixture
def pair(api, start):
    """A leader and a standby, both ready, with the settings of manifests/base."""
    api.delete(LEASE)
    settings = {"CATFISH_LEASE_NAMESPACE": "catfish-system", "CATFISH_RESYNC_SECONDS": "3"}
    leader = start(CATFISH_IDENTITY="first", **settings).wait_ready()
    wait_for(lambda: leads(leader), what="the first leads")
    standby = start(CATFISH_IDENTITY="second", **settings).wait_ready()
    assert not leads(standby)
    return leader, standby


def leads(process):
    return process.metrics().get("catfish_leader") == 1


def writes_of(audit, name, *, since=None):
    """What a replica has written, the Lease too, from a moment on."""
    return [
        (entry["verb"], entry["objectRef"]["resource"], entry["objectRef"].get("name"))
        for entry in audit.entries()
        if entry["userAgent"] == f"catfish-operator/{name}"
        and entry["verb"] in WRITES
        and (since is None or moment(entry) > since)
    ]


def moment(entry):
    return datetime.fromisoformat(entry["requestReceivedTimestamp"])


def image(api, namespace, name="cat"):
    (container,) = api.get(f"{DEPLOYMENTS.format(namespace)}/{name}")["spec"]["template"]["spec"][
        "containers"
    ]
    return container["image"]


def settle(api, namespace, name="cat"):
    path = f"{MODELS.format(namespace)}/{name}"
    wait_for(lambda: settled(api.get(path)), seconds=40, what=f"{name} is up to date")


def change(api, namespace, tag):
    api.merge(f"{MODELS.format(namespace)}/cat", {"spec": {"image": f"catfish-server:{tag}"}})
    return f"catfish-server:{tag}"


def test_only_the_leader_writes_and_both_are_ready(pair, plane, api, namespace):
    audit = Audit(plane.audit_log)
    with kubelet(api, namespace):
        api.create(MODELS.format(namespace), model(replicas=2))
        settle(api, namespace)
    assert writes_of(audit, "first")
    assert writes_of(audit, "second") == []
    assert [process.probe("/readyz") for process in pair] == [200, 200]
    assert [process.probe("/livez") for process in pair] == [200, 200]


def test_a_killed_leader_is_followed(pair, api, namespace):
    leader, standby = pair
    with kubelet(api, namespace):
        api.create(MODELS.format(namespace), model())
        settle(api, namespace)
        leader.kill()
        begun = time.monotonic()
        wanted = change(api, namespace, "v2")
        wait_for(lambda: image(api, namespace) == wanted, seconds=TAKE_OVER_SECONDS, what="the new image")
        assert time.monotonic() - begun <= TAKE_OVER_SECONDS
        assert leads(standby)


def test_a_leader_that_ends_well_is_followed_at_once(pair, api, namespace):
    leader, standby = pair
    with kubelet(api, namespace):
        api.create(MODELS.format(namespace), model())
        settle(api, namespace)
        assert leader.terminate() == 0
        assert api.get(LEASE)["spec"]["holderIdentity"] in {"", "second"}
        wait_for(lambda: leads(standby), seconds=5, what="the standby leads")


def busy(api, namespace):
    """Models that change all the time, so that whoever may write is writing."""
    path = MODELS.format(namespace)
    return changing(
        lambda number: api.merge(f"{path}/busy-{number % 4}", {"spec": {"replicas": 1 + number % 3}}),
        every=0.05,
    )


def test_a_leader_that_was_stopped_longer_than_its_lease_writes_nothing_when_it_goes_on(
    pair, plane, api, namespace
):
    leader, standby = pair
    audit = Audit(plane.audit_log)
    for number in range(4):
        api.create(MODELS.format(namespace), model(f"busy-{number}"))
    with kubelet(api, namespace):
        api.create(MODELS.format(namespace), model())
        settle(api, namespace)
        with busy(api, namespace):
            wait_for(lambda: len(writes_of(audit, "first")) > 50, what="the leader is at work")
            leader.pause()
            stopped = time.monotonic()
        calm = Audit(plane.audit_log)
        wanted = change(api, namespace, "v2")
        wait_for(lambda: image(api, namespace) == wanted, seconds=TAKE_OVER_SECONDS, what="a take-over")
        wait_for(lambda: time.monotonic() - stopped > STOPPED_SECONDS, seconds=STOPPED_SECONDS + 5, what="it")
        assert conflicts(calm) == []
        with busy(
            api, namespace
        ):  # there is a lot to do when the old leader goes on, and it believes to lead
            number = len(writes_of(audit, "second"))
            wait_for(lambda: len(writes_of(audit, "second")) > number + 5, what="the new leader is at work")
            resumed = datetime.now(UTC)
            leader.resume()
            wait_for(lambda: "stands by while second leads" in leader.text(), what="it notices")
        wanted = change(api, namespace, "v3")
        wait_for(lambda: image(api, namespace) == wanted, what="the new leader's work")
    assert writes_of(audit, "first", since=resumed) == []
    assert len(writes_of(audit, "second", since=resumed)) > 1
    assert leads(standby)
    wait_for(lambda: leader.probe("/readyz") == 200 and leader.probe("/livez") == 200, what="a good standby")
    assert [uri for uri in conflicts(audit) if "leases" in uri] == []


def conflicts(audit):
    return [entry["requestURI"] for entry in audit.entries() if entry["responseStatus"].get("code") == 409]
