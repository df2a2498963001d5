"""One look at a model, with a small plan in place of the real one: what holds whatever is planned."""

import asyncio
import copy
from datetime import UTC, datetime

import pytest

from catfish_operator import errors, plan, reasons, status
from catfish_operator.actions import Apply, Delete, Plan, Replace
from catfish_operator.cluster import KINDS, MODEL
from catfish_operator.controller.cache import Cache
from catfish_operator.observe import Observer
from catfish_operator.reconcile import LOOKS, Reconciler
from tests.operator.fakes import FakeCluster, NoReadings

KEY = ("default", "cat")
NOW = datetime(2026, 1, 1, tzinfo=UTC)


def kind_named(kind):
    return next(known for known in KINDS if known.kind == kind)


def child(kind="Deployment", api_version="apps/v1", **spec):
    labels = {"catfish.dev/model": "cat"}
    metadata = {"namespace": "default", "name": "cat", "labels": labels}
    return {"apiVersion": api_version, "kind": kind, "metadata": metadata, "spec": spec}


class World:
    """A fake cluster with one model, a cache that knows it, and a plan that the test sets."""

    def __init__(self):
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

    def reconcile(self):
        return asyncio.run(self.reconciler.reconcile(KEY))

    def see(self, kind, item):
        self.cache.observe(kind, copy.deepcopy(item), live=True)

    @property
    def status(self):
        return self.cluster.objects["CatfishModel", *KEY].get("status")


@pytest.fixture
def world(monkeypatch):
    world = World()
    verdict = reasons.settled("RolloutCompleted")
    monkeypatch.setattr(
        plan,
        "plan",
        lambda observed: Plan(
            actions=world.plan(observed), verdict=verdict, requeue_after=world.requeue_after
        ),
    )
    monkeypatch.setattr(status, "status", lambda *_, refused=None: {"message": (refused or verdict).message})
    return world


def one_deployment(observed):
    live = observed.deployment
    if live is None:
        return (Apply(manifest=child(replicas=2)),)
    if live["spec"]["replicas"] != 2:
        return (Apply(manifest=child(replicas=2), uid=live["metadata"]["uid"]),)
    return ()


def test_what_is_missing_is_made_and_then_said(world):
    world.plan = one_deployment
    world.reconcile()
    assert world.cluster.calls == [
        ("apply", "Deployment", "cat"),
        ("patch_status", "CatfishModel", "cat"),
    ]


def test_a_settled_model_costs_no_request(world):
    world.plan = one_deployment
    world.reconcile()
    world.cluster.calls.clear()
    world.reconcile()
    assert world.cluster.calls == []


def test_a_model_that_is_gone_costs_no_request(world):
    world.cache.absent(MODEL, *KEY)
    assert world.reconcile() is None
    assert world.cluster.calls == []


def test_a_child_that_the_cache_had_missed_is_not_written_to(world):
    there = world.cluster.put(child(replicas=2))
    world.plan = one_deployment
    world.reconcile()
    assert [call[0] for call in world.cluster.calls] == ["apply", "get", "patch_status"]
    assert world.cluster.objects["Deployment", *KEY] == there


def test_a_child_that_stays_invisible_to_the_plan_is_a_name_conflict(world):
    there = world.cluster.put(child(replicas=7))
    world.plan = lambda _: (Apply(manifest=child(replicas=2)),)
    with pytest.raises(errors.Refused) as caught:
        world.reconcile()
    assert caught.value.reason == "NameConflict"
    assert [call[0] for call in world.cluster.calls] == ["apply", "get", "patch_status"]
    assert world.cluster.objects["Deployment", *KEY] == there


def test_a_child_that_was_in_the_way_and_is_gone_is_made(world):
    world.plan = one_deployment
    world.cluster.trouble["apply", "Deployment"] = [errors.Stale("409")]
    world.reconcile()
    assert world.cluster.objects["Deployment", *KEY]["spec"] == {"replicas": 2}


def test_a_refusal_is_said_in_status_and_raised(world):
    world.plan = one_deployment
    refusal = errors.Refused(reason="QuotaExceeded", message="exceeded quota: objects")
    world.cluster.trouble["apply", "Deployment"] = [refusal]
    with pytest.raises(errors.Refused):
        world.reconcile()
    assert "exceeded quota: objects" in world.status["message"]


def test_the_action_after_a_failed_one_is_not_tried(world):
    world.plan = lambda _: (Apply(manifest=child(replicas=2)), Apply(manifest=child("Service", "v1")))
    world.cluster.trouble["apply", "Deployment"] = [errors.Unreachable("500")]
    with pytest.raises(errors.Unreachable):
        world.reconcile()
    assert ("apply", "Service", "cat") not in world.cluster.calls


def test_a_write_on_old_news_is_decided_again_on_a_live_read(world):
    live = world.cluster.put(child(replicas=1))
    world.see(kind_named("Deployment"), live)
    del world.cluster.objects["Deployment", *KEY]
    world.cluster.put(child(replicas=1))  # the same name, another object
    world.plan = one_deployment
    world.reconcile()
    assert world.cluster.objects["Deployment", *KEY]["spec"]["replicas"] == 2


def test_a_model_deleted_meanwhile_ends_the_look(world):
    world.see(kind_named("Deployment"), world.cluster.put(child(replicas=1)))
    world.cluster.objects.clear()
    world.plan = one_deployment
    assert world.reconcile() is None
    assert world.cluster.writes() == [("apply", "Deployment", "cat")]


def test_a_status_computed_from_an_old_model_is_not_written(world):
    world.cluster.put({**world.cluster.objects["CatfishModel", *KEY], "spec": {"image": "v2"}})
    world.reconcile()
    assert [call[0] for call in world.cluster.calls] == ["patch_status", "get", "patch_status"]
    assert world.cluster.objects["CatfishModel", *KEY]["spec"] == {"image": "v2"}


def test_somebody_who_changes_all_we_write_does_not_make_us_write_for_ever(world):
    world.plan = one_deployment
    world.cluster.after_apply = lambda item: item["spec"].update(replicas=9)
    with pytest.raises(errors.Unsettled):
        world.reconcile()
    *applied, last = world.cluster.writes()
    assert applied == [("apply", "Deployment", "cat")] * LOOKS
    assert last[0] == "patch_status"
    assert world.status["message"] == reasons.stalled("Overruled", "Deployment cat").message
    assert world.repaired == [], "nothing was put back"


def test_objects_that_were_written_once_each_are_overruled_by_nobody(world):
    services = iter(range(LOOKS))

    def one_more(_):
        number = next(services)
        manifest = child("Service", "v1")
        manifest["metadata"] = {**manifest["metadata"], "name": f"cat-{number}"}
        return (Apply(manifest=manifest),)

    world.plan = one_more
    with pytest.raises(errors.Unsettled):
        world.reconcile()
    assert world.status is None


def test_a_template_is_put_back_only_on_the_very_state_that_was_seen(world):
    live = world.cluster.put(child(replicas=2, template={"env": "theirs"}))
    world.see(kind_named("Deployment"), live)

    def put_back(observed):
        seen = observed.deployment
        if seen["spec"]["template"] == {"env": "ours"}:
            return ()
        uid, version = seen["metadata"]["uid"], seen["metadata"]["resourceVersion"]
        return (
            Replace(
                api_version="apps/v1",
                kind="Deployment",
                namespace="default",
                name="cat",
                uid=uid,
                resource_version=version,
                path="/spec/template",
                value={"env": "ours"},
            ),
        )

    world.cluster.put({**world.cluster.objects["Deployment", *KEY], "extra": True})
    world.plan = put_back
    world.reconcile()
    assert [call[0] for call in world.cluster.calls[:4]] == ["patch_json", "get", "get", "patch_json"]
    assert world.cluster.objects["Deployment", *KEY]["spec"]["template"] == {"env": "ours"}


def test_a_deletion_carries_the_uid_that_was_seen(world):
    budget = world.cluster.put(child("PodDisruptionBudget", "policy/v1"))
    world.see(kind_named("PodDisruptionBudget"), budget)

    def delete(observed):
        if observed.budget is None:
            return ()
        uid = observed.budget["metadata"]["uid"]
        return (
            Delete(
                api_version="policy/v1", kind="PodDisruptionBudget", namespace="default", name="cat", uid=uid
            ),
        )

    world.plan = delete
    world.reconcile()
    assert ("PodDisruptionBudget", *KEY) not in world.cluster.objects


def test_nothing_is_said_of_a_model_that_is_being_deleted(world):
    body = world.cluster.objects["CatfishModel", *KEY]
    world.see(
        MODEL, world.cluster.put({**body, "metadata": {**body["metadata"], "deletionTimestamp": "now"}})
    )
    world.reconcile()
    assert world.cluster.calls == []


def test_the_plan_says_when_to_look_again(world):
    world.requeue_after = 7.0
    assert world.reconcile() == 7.0


def ready(number, *, condition="False"):
    """A status that says how many pods are ready."""
    conditions = [
        {"type": "Ready", "status": condition, "reason": "PodsStarting", "message": f"{number} are"}
    ]
    return {"message": f"{number} are ready", "readyReplicas": number, "conditions": conditions}


def test_how_far_the_same_thing_is_is_said_once_a_second_and_never_forgotten(world, monkeypatch):
    for clock, said, written, again in (
        (0.0, ready(0), ready(0), None),
        (0.2, ready(1), ready(0), 0.8),
        (0.5, ready(2), ready(0), 0.5),
        (1.0, ready(2), ready(2), None),
        (1.5, ready(2), ready(2), None),
        (1.75, ready(3), ready(2), 0.25),
    ):
        monkeypatch.setattr(status, "status", lambda *_, said=said, **__: said)
        world.clock = clock
        assert (world.reconcile(), world.status) == (pytest.approx(again) if again else None, written)


def test_a_condition_that_turns_is_said_at_once(world, monkeypatch):
    for clock, said in ((0.0, ready(0)), (0.1, ready(1, condition="True")), (0.2, ready(0))):
        monkeypatch.setattr(status, "status", lambda *_, said=said, **__: said)
        world.clock = clock
        assert (world.reconcile(), world.status) == (None, said)


def test_what_is_still_to_be_said_does_not_put_off_the_next_look(world, monkeypatch):
    world.requeue_after = 0.3
    for clock, number, again in ((0.0, 0, 0.3), (0.2, 1, 0.3), (0.8, 1, 0.2)):
        monkeypatch.setattr(status, "status", lambda *_, number=number, **__: ready(number))
        world.clock = clock
        assert world.reconcile() == pytest.approx(again)
