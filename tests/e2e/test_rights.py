"""The rights of manifests/base are those that the e2e tests made the operator need: all of them, and no other.

The tests come after all others, and the first one makes up for what no other asks of the operator.
"""

import json

import pytest

from demo import model
from demo.cluster import NAMESPACED
from demo.kube import wait_for
from localcluster import cluster
from tests.cluster_fixtures import QUICK, STARTED
from tests.e2e.audit import AuditOfRun
from tests.integration.rights import SERVICE_MONITORS, TAKEN, granted, in_the_way, used

pytestmark = pytest.mark.e2e
CHILDREN = ("deployment", "service", "pdb", "hpa", "servicemonitor")
LABEL = "app.kubernetes.io/name"
LONGEST_END_SECONDS = 120.0
"""Until the last pod of a revision is gone, for which the revision is kept: its grace period of 95 s at the worst."""


@pytest.fixture
def service_monitors(kube):
    """The kind of the Prometheus operator, which comes while the operator runs."""
    kube.apply(SERVICE_MONITORS)
    yield
    kube.run("delete", "crd", SERVICE_MONITORS["metadata"]["name"])


class Home:
    """The test's namespace."""

    def __init__(self, kube, namespace):
        self.kube, self.namespace = kube, namespace

    def get(self, kind):
        return self.kube.get(kind, "catfish", self.namespace)

    def change(self, **spec):
        self.kube.patch("catfish", spec, self.namespace)

    def run(self, *words):
        return self.kube.run(*words, "--namespace", self.namespace)

    def revisions(self):
        return {item["metadata"]["name"] for item in self.kube.list("controllerrevisions", self.namespace)}

    def proven(self):
        return model.proven(self.kube, "catfish", self.namespace)

    def repairs(self):
        """How often the model's Events tell that a change from outside was taken back."""
        events, uid = (
            self.kube.list("events.events.k8s.io", self.namespace),
            self.get("cfm")["metadata"]["uid"],
        )
        told = [
            item
            for item in events
            if item.get("reason") == "DriftRepaired" and item["regarding"]["uid"] == uid
        ]
        return sum((item.get("series") or {}).get("count", 1) for item in told)


@pytest.mark.usefixtures("service_monitors")
def test_all_that_a_model_has_comes_is_kept_as_it_was_and_goes(kube, namespace, installation):
    home = Home(kube, namespace)
    spec = {
        "autoscaling": {"minReplicas": 1, "maxReplicas": 2},
        "resources": {"requests": {"cpu": "100m", "memory": "400Mi"}},
        "monitoring": {"serviceMonitor": True},
        "revisionHistoryLimit": 0,
        "rollout": QUICK,
    }
    manifest = model.manifest("catfish", namespace, **spec)
    del manifest["spec"]["replicas"]
    kube.apply(manifest)
    home.proven()
    wait_for(
        "a child of each kind", lambda: all(map(home.get, CHILDREN)), seconds=90
    )  # a resync finds the kind
    for kind in CHILDREN:
        its_label_is_put_back(home, kind)
    its_template_is_put_back(home)
    old_revisions_go(home)
    a_bad_update_is_undone(home)
    home.change(autoscaling=None, monitoring=None, replicas=1)
    wait_for(
        "children to be gone", lambda: not any(map(home.get, ("pdb", "hpa", "servicemonitor"))), seconds=30
    )
    the_lease_is_made_again(kube, installation)
    home.proven()
    what_is_in_the_way_is_left_alone(home)


def its_label_is_put_back(home, kind):
    before = home.get(kind)["metadata"]["labels"][LABEL]
    home.run("label", kind, "catfish", "--overwrite", f"{LABEL}=other")
    wait_for(
        f"the label of the {kind} to be as before",
        lambda: home.get(kind)["metadata"]["labels"].get(LABEL) == before,
        seconds=30,
    )


def its_template_is_put_back(home):
    for number in (1, 2):  # the second time is told by the Event of the first
        home.run("set", "env", "deployment/catfish", f"X={number}")
        wait_for("it to be told", lambda number=number: home.repairs() >= number, seconds=30)
        assert '"X"' not in json.dumps(home.get("deployment")["spec"]["template"])


def old_revisions_go(home):
    """None is kept but the one that serves and the one to go back to."""
    (first,) = home.revisions()
    for number in (1, 2):
        home.change(podAnnotations={"number": str(number)})
        home.proven()
    wait_for(
        "the oldest revision to be gone", lambda: first not in home.revisions(), seconds=LONGEST_END_SECONDS
    )


def a_bad_update_is_undone(home):
    home.change(model={"architecture": "resnet34"})
    model.rolled_back(home.kube, "catfish", "ArchitectureMismatch", home.namespace)
    home.change(model={"architecture": "resnet18"})
    home.proven()


def what_is_in_the_way_is_left_alone(home):
    revision = ""
    for plural in TAKEN:
        foreign, spec = in_the_way(plural, revision)
        name = f"taken-{plural}"
        foreign["metadata"]["namespace"] = home.namespace
        home.kube.apply(foreign)
        manifest = model.manifest(name, home.namespace, **spec)
        if "autoscaling" in spec:
            del manifest["spec"]["replicas"]
        home.kube.apply(manifest)

        def conflict(name=name):
            body = home.kube.get("cfm", name, home.namespace)
            return model.condition(body, "Stalled").get("reason") == "NameConflict" and body

        stalled = wait_for("a name conflict to be told", conflict, seconds=30)
        revision = stalled["status"]["targetRevision"].rpartition("-")[2]
        home.run("delete", "cfm", name)
        home.run("delete", plural, foreign["metadata"]["name"])


def the_lease_is_made_again(kube, installation):
    lease, inside = "catfish-operator", installation.namespace
    before = kube.get("lease", lease, inside)["metadata"]["uid"]
    kube.run("delete", "lease", lease, "--namespace", inside)
    wait_for(
        "another Lease",
        lambda: (found := kube.get("lease", lease, inside)) and found["metadata"]["uid"] != before,
        seconds=60,
    )


@pytest.mark.usefixtures("kube")
def test_the_operator_asked_for_all_that_it_may_do_and_for_nothing_else(pytestconfig, installation):
    where = "*" if installation == NAMESPACED else installation.namespace  # some tests install one more
    user = f"system:serviceaccount:{where}:catfish-operator"
    audit = AuditOfRun(cluster.current().plane.audit_log, user=user, since=pytestconfig.stash[STARTED])
    assert audit.covers_the_run(), "the audit log was rotated away: run fewer tests at once"
    needed, given = used(audit), granted()
    pytestconfig.get_terminal_writer().line(f"\nrights used: {len(needed & given)} of {len(given)}")
    assert audit.forbidden() == []
    assert sorted(needed - given) == []
    assert sorted(given - needed) == []
