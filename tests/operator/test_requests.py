"""What one new model asks of the API server, if each event about it is looked at by itself: the most there can be."""

import asyncio
import copy
from collections import Counter
from datetime import timedelta

from catfish_operator.cluster import MODEL, kind_of
from catfish_operator.controller.announcer import Announcer
from catfish_operator.controller.cache import Cache
from catfish_operator.observe import Observer
from catfish_operator.reconcile import Reconciler
from tests.operator.fakes import FakeCluster, NoReadings
from tests.operator.world import NOW, body, pod

KEY = ("default", "cat")
AT_ONCE = 0.05  # seconds between two events
IMAGE = {"name": "server", "image": "catfish-server:v1", "imageID": "sha256:0", "state": {"running": {}}}


class Life:
    """A model, its operator, and what others do."""

    def __init__(self):
        self.cluster, self.cache, self.told, self.clock = FakeCluster(), Cache(), [], 0.0
        announcer = Announcer(
            put=lambda _, announcement: self.told.append(announcement.reason), count=lambda *_: None
        )
        observer = Observer(
            memory=self.cache,
            readings=NoReadings(),
            now=lambda: NOW + timedelta(seconds=self.clock),
            clock=lambda: self.clock,
        )
        self.reconciler = Reconciler(
            cluster=self.cluster,
            memory=self.cache,
            observer=observer,
            clock=lambda: self.clock,
            announce=announcer.status_written,
            repaired=announcer.done,
        )

    def event(self, item):
        """Somebody else writes an object."""
        seen = self.cluster.put(item)
        self.cache.observe(kind_of(seen["apiVersion"], seen["kind"]), seen)
        self.look(AT_ONCE)

    def look(self, seconds):
        """Time passes, and the model is looked at."""
        self.clock += seconds
        asyncio.run(self.reconciler.reconcile(KEY))

    def counts(self, **status):
        """The Deployment controller counts."""
        live = copy.deepcopy(self.cluster.objects["Deployment", *KEY])
        live["metadata"]["generation"] = 1
        self.event({**live, "status": {"observedGeneration": 1, **status}})

    def pod(self, number, **status):
        """A pod comes, or is ready."""
        template = self.cluster.objects["Deployment", *KEY]["spec"]["template"]
        made = pod(f"cat-{number}", template, **status)
        made["metadata"] |= {"namespace": "default", "uid": f"pod-{number}"}
        self.event(made)


def test_a_new_model_of_two_pods():
    life = Life()
    life.event(body(replicas=2))
    life.counts(unavailableReplicas=2)
    for number in range(2):
        life.pod(number, ready=False)
    life.counts(replicas=2, updatedReplicas=2)
    for number in range(2):
        life.pod(number, containerStatuses=[IMAGE])
    life.counts(replicas=2, updatedReplicas=2, readyReplicas=1, availableReplicas=1)
    life.counts(replicas=2, updatedReplicas=2, readyReplicas=2, availableReplicas=2)
    for seconds in (30, 31, 60, 60):
        life.look(seconds)
    assert life.cluster.objects[MODEL.kind, *KEY]["status"]["message"].startswith("2 pods serve")
    assert Counter((method, kind) for method, kind, _ in life.cluster.calls) == {
        ("apply", "ControllerRevision"): 3,  # made; with the image that runs; proven
        ("apply", "Deployment"): 1,
        ("apply", "Service"): 1,
        ("apply", "PodDisruptionBudget"): 1,
        ("patch_status", "CatfishModel"): 4,  # begun; a pod serves; all do; proven
    }
    assert life.told == ["RolloutStarted", "RolloutCompleted"]
