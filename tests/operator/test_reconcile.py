"""One look at a model, with a small plan in place of the real one: what holds whatever is planned."""

import pytest

from catfish_operator import errors, reasons
from catfish_operator.actions import Apply, Delete, Replace
from catfish_operator.cluster import KINDS, MODEL
from catfish_operator.reconcile import LOOKS
from tests.operator.small_plan import KEY, World, child


def kind_named(kind):
    return next(known for known in KINDS if known.kind == kind)


@pytest.fixture
def world(monkeypatch):
    return World(monkeypatch)


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
