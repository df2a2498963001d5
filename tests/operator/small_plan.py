"""A model to be looked at, with a small plan in place of the real one."""

import asyncio
import copy
from datetime import UTC, datetime

from catfish_operator import plan, reasons, status
from catfish_operator.actions import Plan
from catfish_operator.cluster import MODEL
from catfish_operator.controller.cache import Cache
from catfish_operator.observe import Observer
from catfish_operator.reconcile import Reconciler
from tests.operator.fakes import FakeCluster, NoReadings

KEY = ("default", "cat")
NOW = datetime(2026, 1, 1, tzinfo=UTC)


def child(kind="Deployment", api_version="apps/v1", **spec):
    labels = {"catfish.dev/model": "cat"}
    metadata = {"namespace": "default", "name": "cat", "labels": labels}
    return {"apiVersion": api_version, "kind": kind, "metadata": metadata, "spec": spec}


class World:
    """A fake cluster with one model, a cache that knows it, and a plan that the test sets."""

    def __init__(self, monkeypatch):
        self.cluster, self.cache = FakeCluster(), Cache()
        self.plan = lambda _: ()
        self.requeue_after = None
        self.clock = 0.0
        self.repaired = []
        body = {"apiVersion": "catfish.dev/v1alpha1", "kind": "CatfishModel", "spec": {}}
        self.model = self.cluster.put({**body, "metadata": {"namespace": "default", "name": "cat"}})
        self.cache.observe(MODEL, self.model)
        observer = Observer(memory=self.cache, readings=NoReadings(), now=lambda: NOW, clock=lambda: 0.0)
        self.reconciler = Reconciler(
            cluster=self.cluster,
            memory=self.cache,
            observer=observer,
            clock=lambda: self.clock,
            repaired=lambda _, action: self.repaired.append(action),
        )
        self._install(monkeypatch)

    def _install(self, monkeypatch):
        verdict = reasons.settled("RolloutCompleted")

        def planned(observed):
            return Plan(actions=self.plan(observed), verdict=verdict, requeue_after=self.requeue_after)

        monkeypatch.setattr(plan, "plan", planned)
        monkeypatch.setattr(
            status, "status", lambda *_, refused=None: {"message": (refused or verdict).message}
        )

    def reconcile(self):
        return asyncio.run(self.reconciler.reconcile(KEY))

    def see(self, kind, item):
        self.cache.observe(kind, copy.deepcopy(item), live=True)

    @property
    def status(self):
        return self.cluster.objects["CatfishModel", *KEY].get("status")
