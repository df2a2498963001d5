import copy
from pathlib import Path

import jsonpatch
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from catfish_operator.errors import InvalidSpec
from catfish_operator.model import CatfishModel
from catfish_operator.plugin import revisions, undo
from catfish_operator.plugin.problems import NotPossible
from catfish_operator.resources import revision
from tests.operator.plugin.statuses import controller_revision
from tests.operator.test_properties import specs as simple_specs
from tests.operator.world import body

GOLDEN = Path(__file__).parents[1] / "golden"
WITH = {
    field: item
    for item in (yaml.safe_load(path.read_text()) for path in sorted(GOLDEN.glob("*.model.yaml")))
    for field in item["spec"]
}
"""For each field of the spec, a golden model that has it."""
CRD = yaml.safe_load((Path(__file__).parents[3] / "crds" / "catfishmodels.yaml").read_text())


def model(**spec):
    found = body(**spec)
    found["metadata"] |= {"resourceVersion": "7"}
    return found


def made_from(item, *, number=1, verdict="proven"):
    """The revision that the operator keeps for a model's spec."""
    parsed = CatfishModel.from_body(item)
    raw = controller_revision(
        revision.name(parsed), number, verdict=verdict, inputs=copy.deepcopy(revision.inputs(parsed))
    )
    return revisions.of_model({"metadata": {"uid": "uid-model"}}, [raw])[0]


def undone(item, to):
    return jsonpatch.apply_patch(item, undo.change(item, to).patch)


V1, V2, V3 = (model(image=f"catfish-server:v{number}") for number in (1, 2, 3))


def test_the_default_is_the_proven_revision_that_was_asked_for_last_besides_that_of_the_spec():
    known = [made_from(V1, number=1), made_from(V2, number=2), made_from(V3, number=3, verdict="failed")]
    assert undo.target(V3, known).image == "catfish-server:v2"
    assert undo.target(V2, known).image == "catfish-server:v1"
    assert undo.target(V1, known).image == "catfish-server:v2"


@pytest.mark.parametrize(
    "known",
    [[], [made_from(V2)], [made_from(V2), made_from(V1, verdict="failed"), made_from(V3, verdict=None)]],
    ids=["no revision", "its own alone", "none that is proven"],
)
def test_without_a_proven_revision_to_go_back_to_it_refuses(known):
    with pytest.raises(NotPossible, match="cat has no proven revision to go back to besides"):
        undo.target(V2, known)


@pytest.mark.parametrize("verdict", ["proven", "failed", None])
def test_a_revision_can_be_named_in_full_or_by_its_hash(verdict):
    first = made_from(V1, verdict=verdict)
    for name in (first.name, first.name.removeprefix("cat-")):
        assert undo.target(V2, [first, made_from(V2)], to=name) == first


def test_a_name_that_is_none_is_answered_with_those_that_there_are():
    with pytest.raises(NotPossible, match=f"cat has no revision cat-0; there are: {made_from(V1).name}"):
        undo.target(V2, [made_from(V1)], to="cat-0")


def test_a_revision_without_inputs_cannot_be_gone_back_to():
    broken = revisions.of_model(V1, [controller_revision("cat-0", 1, verdict="proven")])
    with pytest.raises(NotPossible, match="cat-0 does not say what spec it was made from"):
        undo.target(V1, broken)


def test_only_what_shapes_pods_is_replaced_and_only_where_it_differs():
    live = model(image="catfish-server:v2", replicas=5, drainSeconds=9, service={"port": 81})
    change = undo.change(live, made_from(V1))
    assert change.patch == [
        {"op": "test", "path": "/metadata/resourceVersion", "value": "7"},
        {"op": "remove", "path": "/spec/drainSeconds"},
        {"op": "add", "path": "/spec/image", "value": "catfish-server:v1"},
    ]
    assert change.fields == ["spec.drainSeconds", "spec.image"]


def test_a_spec_that_asks_for_the_revision_already_is_left_alone():
    live = model(
        image="catfish-server:v1", replicas=5, drainSeconds=5, prediction={"returnProbabilities": False}
    )
    assert undo.change(live, made_from(V1)).patch == []


def test_a_default_that_is_written_out_is_no_change_to_speak_of():
    live = model(image="catfish-server:v2", drainSeconds=5)
    assert undo.change(live, made_from(V1)).fields == ["spec.image"]


def test_a_spec_that_cannot_be_read_is_replaced():
    live = model(image="catfish-server:v1", nodeSelector={"a": 1}, replicas=4)
    with pytest.raises(InvalidSpec):
        CatfishModel.from_body(live)
    found = undone(live, made_from(V1))
    assert revision.name(CatfishModel.from_body(found)) == made_from(V1).name
    assert found["spec"]["replicas"] == 4


@pytest.mark.parametrize(
    "annotations", [None, {}, {"other": "x"}, {undo.RESTARTED_AT: "2026-01-01T00:00:00Z"}], ids=str
)
@pytest.mark.parametrize("wanted", [None, "2026-01-02T03:04:05Z"])
def test_the_time_of_the_restart_goes_back_too(annotations, wanted):
    live = copy.deepcopy(V2)
    if annotations is not None:
        live["metadata"]["annotations"] = dict(annotations)
    first = made_from(V1)
    first.inputs.update({"restartedAt": wanted} if wanted else {})
    found = undone(live, first)
    others = {"other": "x"} if annotations and "other" in annotations else {}
    assert found["metadata"].get("annotations", {}) == others | (
        {undo.RESTARTED_AT: wanted} if wanted else {}
    )
    assert "restartedAt" not in found["spec"]


@pytest.mark.parametrize("field", sorted(WITH))
def test_a_field_of_the_spec_is_kept_by_an_undo_exactly_if_it_shapes_no_pod(field):
    without = copy.deepcopy(WITH[field])
    del without["spec"][field]
    try:
        one, other = (revision.inputs(CatfishModel.from_body(item)) for item in (without, WITH[field]))
        shapes = one != other
    except InvalidSpec:  # a required field
        shapes = True
    assert shapes == (field not in undo.KEPT)


def test_every_field_of_the_crd_is_in_some_golden_model_and_so_known_to_be_kept_or_not():
    schema = CRD["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]
    assert schema.keys() == WITH.keys()


full = st.fixed_dictionaries({}, optional={name: st.just(item["spec"][name]) for name, item in WITH.items()})


def readable(spec):
    """The fields without what the CRD does not let stand together."""
    return {name: value for name, value in spec.items() if name != "replicas" or "autoscaling" not in spec}


versions = (simple_specs | full | st.builds(lambda one, other: one | other, full, simple_specs)).map(readable)
restarts = st.none() | st.sampled_from(["2026-01-02T03:04:05Z", "2026-01-03T00:00:00Z"])


@given(versions, versions, restarts, restarts)
@settings(max_examples=300, deadline=None)
def test_after_an_undo_the_spec_asks_for_the_older_revision_and_keeps_all_else(older, newer, then, since):
    before, live = model(**older), model(**newer)
    for item, restarted_at in ((before, then), (live, since)):
        if restarted_at:
            item["metadata"]["annotations"] = {undo.RESTARTED_AT: restarted_at}
    to = made_from(before)
    found = undone(live, to)
    parsed = CatfishModel.from_body(found)
    if revision.name(CatfishModel.from_body(live)) != to.name:
        assert revision.inputs(parsed) == to.inputs
    assert revision.name(parsed) == to.name
    for name in undo.KEPT:
        assert found["spec"].get(name) == live["spec"].get(name)
