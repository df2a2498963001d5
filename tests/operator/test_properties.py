"""What must hold for every spec, found by hypothesis rather than by us."""

import copy
from datetime import timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from catfish_operator import plan as planning
from catfish_operator import status
from catfish_operator.model import CatfishModel
from catfish_operator.resources import quantity, revision
from tests.operator.world import NOW, World, body, foreign

SPEC_FIELDS = (
    "image",
    "imagePullPolicy",
    "imagePullSecrets",
    "weights",
    "model",
    "prediction",
    "replicas",
    "service",
    "resources",
    "nodeSelector",
    "tolerations",
    "drainSeconds",
    "rollout",
)
names = st.sampled_from(["a", "b", "c"])
optional_number = st.none() | st.integers(0, 5)
quantities = st.sampled_from(["500m", "0.5", "1", 1, "1Gi", "1024Mi"])
specs = st.fixed_dictionaries(
    {"image": st.sampled_from(["server:v1", "server:v2", "server"])},
    optional={
        "replicas": st.integers(0, 4),
        "drainSeconds": st.integers(0, 9),
        "imagePullSecrets": st.lists(st.fixed_dictionaries({"name": names}), max_size=2, unique_by=str),
        "nodeSelector": st.dictionaries(names, names, max_size=2),
        "resources": st.fixed_dictionaries({}, optional={"limits": st.dictionaries(names, quantities)}),
        "prediction": st.fixed_dictionaries(
            {},
            optional={
                "unknownThreshold": st.sampled_from([0, 0.0, 0.5, 1]),
                "returnProbabilities": st.booleans(),
            },
        ),
        "service": st.fixed_dictionaries(
            {"type": st.sampled_from(["ClusterIP", "LoadBalancer", "NodePort"])},
            optional={"port": st.sampled_from([80, 81]), "annotations": st.dictionaries(names, names)},
        ),
        "rollout": st.fixed_dictionaries({}, optional={"minReadySeconds": st.integers(0, 2)}),
    },
)
changes = st.sampled_from(
    [
        {"spec": {"template": {"metadata": {"annotations": {"x": "y"}}}}},
        {"spec": {"template": {"spec": {"containers": [{"name": "server", "env": [{"name": "X"}]}]}}}},
        {"spec": {"template": {"spec": {"nodeSelector": {"z": "z"}}}}},
        {"spec": {"paused": True}},
    ]
)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)
field_names = st.sampled_from(SPEC_FIELDS)


def meaning(value, name=""):
    """A template without what means nothing: empty or absent, the spelling of an amount, the order of names."""
    if name in {"limits", "requests"}:
        return {key: quantity.canonical(amount) for key, amount in value.items()}
    if isinstance(value, list):
        return sorted(map(meaning, value), key=_name)
    if isinstance(value, dict):
        below = {key: meaning(item, key) for key, item in value.items()}
        return {key: item for key, item in below.items() if item not in ({}, [], None)}
    return value


def _name(item):
    return item.get("name", "") if isinstance(item, dict) else ""


@given(st.lists(specs, min_size=1, max_size=4), st.lists(changes, max_size=2))
@settings(max_examples=60, deadline=None)
def test_plans_lead_to_a_state_that_needs_no_plan(course, interferences):
    world = World(body(**course[0]))
    world.settle()
    for spec in course[1:]:
        for change in interferences:
            foreign(world.deployment(), change)
        world.model["spec"] = body(**spec)["spec"]
        world.settle()
    direct = World(body(**course[-1]))
    direct.settle()
    led, wanted = (item.deployment()["spec"] for item in (world, direct))
    assert meaning(led["template"]) == meaning(wanted["template"])
    assert led.get("paused", False) == wanted.get("paused", False)
    assert world.service()["metadata"].get("annotations", {}) == direct.service()["metadata"].get(
        "annotations", {}
    )


@given(specs, st.booleans(), st.timedeltas(timedelta(0), timedelta(days=9)))
@settings(max_examples=60, deadline=None)
def test_a_status_computed_from_its_own_outcome_is_the_same(spec, ready, later):
    world = World(body(**spec))
    for step in (lambda: None, world.settle, lambda: world.roll_out(ready=ready)):
        step()
        world.model["status"] = world.status()
        observed = world.observed(now=NOW + later)
        assert status.status(observed, planning.plan(observed)) == world.model["status"]


@given(specs)
def test_the_order_of_fields_and_what_does_not_shape_pods_change_no_name(spec):
    one = body(**spec)
    other = copy.deepcopy(one)
    other["spec"] = dict(reversed(other["spec"].items())) | {"replicas": 9, "rollout": {"maxSurge": 7}}
    assert revision.name(CatfishModel.from_body(one)) == revision.name(CatfishModel.from_body(other))


@given(st.dictionaries(field_names, json_values, max_size=4))
@settings(max_examples=300, deadline=None)
def test_no_spec_whatsoever_makes_plan_or_status_raise(spec):
    world = World(body(**spec))
    observed = world.observed()
    found = status.status(observed, planning.plan(observed))
    assert found["message"].endswith(".")
