"""The rights of manifests/base and what is asked of the API server are the same, right by right.

The scenario lets a model live through everything that the operator does; what it asked is read off the audit log.
"""

import json

import pytest

from tests.integration.audit import Audit
from tests.integration.house import House, changing
from tests.integration.kubelet import failing, kubelet, running
from tests.integration.operator_process import (
    BUDGETS,
    DEPLOYMENTS,
    MODELS,
    REVISIONS,
    SERVICES,
    condition,
    model,
    wait_for,
)
from tests.integration.rights import TAKEN, granted, in_the_way, service_monitors, used

LEASES = "/apis/coordination.k8s.io/v1/namespaces/{}/leases"


class Watched(House):
    """A house whose operator is watched through the audit log."""

    def __init__(self, api, namespace, nodes, audit):
        super().__init__(api, namespace, nodes)
        self.audit = audit

    def change(self, **spec):
        self.merge(MODELS, {"spec": spec})

    def until_used(self, *right, what):
        wait_for(lambda: right in used(self.audit), seconds=40, what=what)


def live_through_everything(house, kubectl):
    """What the operator does for a model, until each right was needed once."""
    house.create(model(replicas=2, revisionHistoryLimit=1))
    house.settle()
    house.change(replicas=1)
    wait_for(lambda: house.get(BUDGETS) is None, what="no budget for one pod")
    for kind in (SERVICES, DEPLOYMENTS):
        house.merge(kind, {"metadata": {"labels": {"app.kubernetes.io/instance": "x"}}})
    for number in range(2):  # the second one becomes a series of the first one's Event
        kubectl("-n", house.namespace, "set", "env", "deployment/cat", f"X={number}")
        wait_for(lambda: "X" not in str(house.get(DEPLOYMENTS)["spec"]["template"]), what="no X")
    house.until_used("events.k8s.io", "events", "patch", what="an Event that is counted")
    more_revisions_than_are_kept(house)
    many_changes_at_once(house)
    house.settle()


def more_revisions_than_are_kept(house):
    """One is kept, beside the one that serves."""
    for number in range(4):
        if ("apps", "controllerrevisions", "delete") in used(house.audit):
            return
        house.change(image=f"catfish-server:v{number + 2}")
        wait_for(
            lambda tag=f"v{number + 2}": tag in str(house.get(DEPLOYMENTS)["spec"]["template"]),
            what="the next image",
        )
        house.settle()
    house.until_used("apps", "controllerrevisions", "delete", what="an old revision deleted")


def many_changes_at_once(house):
    """Changes that meet our own writes: what was decided on is read anew."""
    with changing(lambda number: house.change(replicas=1 + number % 3), every=0.02):
        house.until_used("catfish.dev", "catfishmodels", "get", what="a model read anew")
        house.until_used("policy", "poddisruptionbudgets", "patch", what="a budget written")


def roll_back(house):
    """A bad update, which is looked at live before it is undone."""
    report = {"reason": "ChecksumMismatch", "message": "another file", "retriable": False}
    bad = failing(json.dumps(report))
    house.nodes.script = lambda pod: (
        bad if pod["spec"]["containers"][0]["image"].endswith(":bad") else running()
    )
    house.change(image="catfish-server:bad")
    house.until_used("", "pods", "get", what="a pod read before the rollback")
    house.change(image="catfish-server:good")
    house.settle()


OPTIONAL = {
    "autoscaling": ("autoscaling", "horizontalpodautoscalers"),
    "monitoring": ("monitoring.coreos.com", "servicemonitors"),
}
"""Fields of the spec that ask for one more child each."""


def optional_children(house):
    """A child that comes, changes and goes with its field."""
    house.change(replicas=None, resources={"requests": {"cpu": "100m"}})  # what an autoscaler needs
    wanted = {"autoscaling": {"minReplicas": 1, "maxReplicas": 3}, "monitoring": {"serviceMonitor": True}}
    for field, (group, plural) in OPTIONAL.items():
        house.change(**{field: wanted[field]})
        house.until_used(group, plural, "create", what=f"a child for {field}")
        version = {"autoscaling": "v2", "monitoring": "v1"}[field]
        child = f"/apis/{group}/{version}/namespaces/{house.namespace}/{plural}/cat"
        house.api.merge(
            child, {"metadata": {"labels": {"catfish.dev/model": "cat", "app.kubernetes.io/name": "x"}}}
        )
        house.until_used(group, plural, "patch", what=f"the child for {field} put back")
        house.change(**{field: None})
        house.until_used(group, plural, "delete", what=f"the child for {field} deleted")


def names_that_are_taken(house):
    """What is in the way of a new child is read, and left alone."""
    revision = ""
    for plural in TAKEN:
        foreign, spec = in_the_way(plural, revision)
        group, _, version = foreign["apiVersion"].rpartition("/")
        root = f"/apis/{group}/{version}" if group else f"/api/{version}"
        house.api.create(f"{root}/namespaces/{house.namespace}/{plural}", foreign)
        house.create(model(f"taken-{plural}", **spec))
        house.until_used(group, plural, "get", what=f"somebody else's {plural} read")
        stalled = wait_for(
            lambda plural=plural: (
                condition(found := house.get(MODELS, f"taken-{plural}"), "Stalled").get("reason")
                == "NameConflict"
                and found
            ),
            what="a name conflict",
        )
        revision = stalled["status"]["targetRevision"].rpartition("-")[2]


def adopt_a_revision(house):
    """A revision that lost its owner is given it again."""
    (first, *_) = house.revisions()
    house.merge(REVISIONS, {"metadata": {"ownerReferences": None}}, name=first["metadata"]["name"])
    house.until_used("apps", "controllerrevisions", "patch", what="an adopted revision")


@pytest.fixture
def with_service_monitors(api, kubectl):
    with service_monitors(api, kubectl):
        yield


@pytest.mark.usefixtures("with_service_monitors")
def test_every_right_is_used_and_none_is_missing(start, plane, api, kubectl, namespace):
    api.delete(LEASES.format("catfish-system") + "/catfish-operator")
    audit = Audit(plane.audit_log)
    start(CATFISH_LEASE_NAMESPACE="catfish-system", CATFISH_RESYNC_SECONDS="3").wait_ready()
    with kubelet(api, namespace) as nodes:
        house = Watched(api, namespace, nodes, audit)
        live_through_everything(house, kubectl)
        adopt_a_revision(house)
        roll_back(house)
        optional_children(house)
        names_that_are_taken(house)
        house.settle()
    assert audit.forbidden() == []
    needed, given = used(audit), granted()
    assert sorted(needed - given) == []
    assert sorted(given - needed) == []
    assert audit.deletes_without_a_uid() == []
