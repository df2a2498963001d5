"""`kubectl delete --cascade=orphan`, and a model of the same name afterwards: what serves goes on to serve."""

from tests.integration.house import CHILDREN
from tests.integration.operator_process import MODELS, PODS, model, wait_for

VERDICT = "catfish.dev/verdict"


def test_children_that_were_left_serve_on_and_a_model_of_that_name_adopts_them(house, kubectl, operator):
    house.create(model(replicas=2))
    house.settle()
    children, pods, verdicts = look(house)
    kubectl("delete", "cfm", "cat", "--namespace", house.namespace, "--cascade=orphan")
    wait_for(lambda: house.get(MODELS) is None and not owners(house), what="the model to be gone alone")
    operator.wait_resyncs(1)
    assert look(house) == (children, pods, verdicts)
    assert list(verdicts.values()) == ["proven"]

    house.create(model(replicas=2))
    body = house.settle()
    assert look(house) == (children, pods, verdicts)
    wait_for(
        lambda: owners(house) == dict.fromkeys(children, body["metadata"]["uid"]), what="all to be adopted"
    )
    assert body["status"]["stableRevision"] == body["status"]["targetRevision"]


def listed(house):
    return [
        (kind, item)
        for kind in CHILDREN
        for item in house.api.items(house.path(kind), "catfish.dev/model=cat")
    ]


def owners(house):
    """The UID of the owner of each child that has one, by the child's UID."""
    found = ((item["metadata"]["uid"], item["metadata"].get("ownerReferences")) for _, item in listed(house))
    return {uid: refs[0]["uid"] for uid, refs in found if refs}


def look(house):
    """The UIDs of the children and of the pods, and the verdict on each revision."""
    pods = house.api.items(house.path(PODS), "catfish.dev/model=cat")
    verdicts = {
        item["metadata"]["name"]: item["metadata"]["labels"].get(VERDICT) for item in house.revisions()
    }
    return (
        sorted(item["metadata"]["uid"] for _, item in listed(house)),
        sorted(pod["metadata"]["uid"] for pod in pods),
        verdicts,
    )
