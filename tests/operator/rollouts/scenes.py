"""A model in the middle of an update, as the tests of the rollout begin: v1 proven, v2 held at its first pod."""

import copy

from catfish_operator.observed import Reading
from catfish_operator.resources import deployment
from tests.operator.test_rollout import container, ended, report
from tests.operator.world import World, body, pod

CANARY, BAKE, DEADLINE = 30, 60, 600
V2 = {"image": "catfish-server:v2"}


def proven(**spec):
    """A world whose v1 is proven, with three pods."""
    return World(body(**({"replicas": 3} | spec))).prove()


def updated(**spec):
    """A proven v1 and a v2 that is held, whose first pod has just been made."""
    world = proven(**spec)
    world.stable, world.before = world.plan().target, copy.deepcopy(world.deployment()["spec"]["template"])
    world.change(**V2)
    world.settle()
    world.target = world.plan().target
    first(world, ready=False)
    return world


def first(world, *, ready=True, **status):
    """Gives v2 its first pod, beside the three of v1."""
    live = world.deployment()
    old = [item for item in world.pods if item["metadata"]["labels"]["catfish.dev/revision"] == world.stable]
    new = pod("cat-new", live["spec"]["template"], ready=ready, **status)
    world.pods = [*old, new]
    count(world)


def every_first(world, number):
    """Gives v2 so many Ready pods, beside those of v1."""
    first(world)
    template = world.deployment()["spec"]["template"]
    world.pods += [pod(f"cat-new-{extra}", template) for extra in range(1, number)]
    count(world)


def count(world):
    """What the Deployment controller would say of these pods."""
    live = world.deployment()
    revision_now = live["spec"]["template"]["metadata"]["labels"]["catfish.dev/revision"]
    ready = [
        item for item in world.pods if {"type": "Ready", "status": "True"} in item["status"]["conditions"]
    ]
    live["status"] = {
        "observedGeneration": live["metadata"]["generation"],
        "replicas": len(world.pods),
        "updatedReplicas": sum(
            item["metadata"]["labels"]["catfish.dev/revision"] == revision_now for item in world.pods
        ),
        "readyReplicas": len(ready),
        "availableReplicas": len(ready) if not held(world) else 0,
    }


def asked(world, *, new, old, seconds=(1.0, 1.0)):
    """Lets the first pod and each old one answer (requests, errors)."""
    world.readings = {
        item["metadata"]["name"]: Reading(
            counted=True, requests=1000, errors=500, predictions=500, seconds=9.0
        )
        for item in world.pods[:3]
    }
    world.plan()
    number = {"cat-new": (*new, seconds[0])}
    for item in world.pods[:3]:
        number[item["metadata"]["name"]] = (1000 + old[0], 500 + old[1], 9.0 + seconds[1])
    world.readings = {
        name: Reading(
            counted=True, requests=requests, errors=errors, predictions=requests - errors, seconds=took
        )
        for name, (requests, errors, took) in number.items()
    }


def held(world):
    return world.deployment()["spec"].get("minReadySeconds") == deployment.HELD_SECONDS


def live_revision(world):
    return world.deployment()["spec"]["template"]["metadata"]["labels"]["catfish.dev/revision"]


def said(world):
    return {item["type"]: (item["status"], item["reason"]) for item in world.status()["conditions"]}


def assert_rolled_back(world, reason):
    world.settle()
    assert world.deployment()["spec"]["template"] == world.before
    assert not held(world)
    assert world.record(world.target).verdict == "failed"
    assert world.record(world.target).failure.reason == reason
    assert world.record(world.target).result == "RolledBack"
    assert said(world)["UpToDate"] == ("False", "RolledBack")
    assert said(world)["Stalled"] == ("True", reason)
    assert said(world)["Reconciling"][0] == "False"
    assert said(world)["Ready"] == ("True", "Serving")
    assert world.model["spec"]["image"] == "catfish-server:v2", "the spec is the user's"


def assert_goes_on(world):
    world.settle()
    assert live_revision(world) == world.target
    assert world.record(world.target).verdict is None


def failed_for(reason, **change):
    world = updated()
    first(world, ready=False, containerStatuses=[container(ended(report(reason=reason, **change)))])
    world.plan()
    world.wait(DEADLINE)
    world.settle()
    assert world.record(world.target).failure.reason == reason
    world.pods = world.pods[:3]
    count(world)
    return world
