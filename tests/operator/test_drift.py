"""What others change on our objects is undone; what is theirs stays."""

import copy

import pytest

from catfish_operator.actions import Replace
from tests.operator.test_plan import kinds, settled
from tests.operator.world import foreign

CONTAINER = {"name": "server"}


@pytest.mark.parametrize(
    "change",
    [
        {"metadata": {"labels": {"catfish.dev/model": "other"}}},
        {"spec": {"replicas": 7}},
        {"spec": {"paused": True}},
        {"spec": {"minReadySeconds": 99}},
        {"spec": {"strategy": {"rollingUpdate": {"maxSurge": 9}}}},
        {"spec": {"template": {"metadata": {"labels": {"catfish.dev/revision": "x"}}}}},
        {"spec": {"template": {"metadata": {"labels": {"mine": "x"}}}}},
        {"spec": {"template": {"metadata": {"annotations": {"kubectl.kubernetes.io/restartedAt": "now"}}}}},
        {"spec": {"template": {"spec": {"dnsPolicy": "Default"}}}},
        {"spec": {"template": {"spec": {"containers": [CONTAINER | {"image": "other"}]}}}},
        {"spec": {"template": {"spec": {"containers": [CONTAINER | {"command": ["sh"]}]}}}},
        {"spec": {"template": {"spec": {"containers": [{"name": "sidecar", "image": "x"}]}}}},
        {
            "spec": {
                "template": {
                    "spec": {
                        "containers": [
                            CONTAINER
                            | {
                                "env": [
                                    {"name": "CATFISH_PORT", "value": "1"},
                                    {"name": "MINE", "value": "2"},
                                ]
                            }
                        ]
                    }
                }
            }
        },
    ],
    ids=str,
)
def test_what_others_change_on_the_deployment_is_undone(change):
    world = settled(replicas=2, rollout={"minReadySeconds": 0})
    before = copy.deepcopy(world.deployment())
    foreign(world.deployment(), change)
    world.settle()
    assert world.deployment()["spec"] == before["spec"]
    assert world.deployment()["metadata"]["labels"] == before["metadata"]["labels"]


def test_an_addition_is_removed_on_the_very_state_that_was_seen():
    world = settled()
    foreign(world.deployment(), {"spec": {"template": {"metadata": {"annotations": {"a": "b"}}}}})
    live = world.deployment()["metadata"]
    [action] = world.plan().actions
    assert isinstance(action, Replace)
    assert (action.uid, action.resource_version) == (live["uid"], live["resourceVersion"])
    assert action.path == "/spec/template"


def test_an_unclaimed_list_item_in_the_template_is_removed():
    world = settled()
    world.deployment()["spec"]["template"]["spec"]["containers"].append({"name": "x", "image": "x"})
    assert kinds(world.plan().actions) == [("Replace", "Deployment")]


def test_what_admission_adds_under_our_name_is_not_fought():
    world = settled()
    addition = {"spec": {"template": {"spec": {"containers": [{"name": "mesh", "image": "mesh"}]}}}}
    foreign(world.deployment(), addition, manager="catfish-operator")
    assert world.plan().actions == ()


def test_what_the_api_server_adds_by_default_is_no_drift():
    world = settled()
    world.deployment()["spec"]["template"]["spec"] |= {"dnsPolicy": "ClusterFirst", "restartPolicy": "Always"}
    world.service()["spec"] |= {"sessionAffinity": "None", "clusterIP": "192.0.2.1"}
    assert world.plan().actions == ()


def test_a_quantity_in_other_words_is_no_drift():
    world = settled(resources={"limits": {"cpu": "500m"}})
    [container] = world.deployment()["spec"]["template"]["spec"]["containers"]
    container["resources"]["limits"]["cpu"] = "0.5"
    assert world.plan().actions == ()


def test_annotations_that_leave_the_spec_leave_the_service():
    world = settled(service={"annotations": {"a": "b", "c": "d"}})
    world.change(service={"annotations": {"a": "b"}})
    world.settle()
    assert world.service()["metadata"]["annotations"] == {"a": "b"}


def test_annotations_of_others_stay_on_the_service():
    world = settled()
    foreign(world.service(), {"metadata": {"annotations": {"theirs": "x"}}})
    assert world.plan().actions == ()


def test_ports_of_others_are_removed_and_the_node_port_stays():
    world = settled()
    world.service()["spec"]["ports"][0] |= {"port": 81, "nodePort": 30123}
    [action] = world.plan().actions
    assert (action.path, action.value) == (
        "/spec/ports",
        [{"name": "http", "port": 80, "targetPort": "http", "protocol": "TCP", "nodePort": 30123}],
    )
    world.settle()


GRPC = {
    "name": "grpc",
    "port": 9000,
    "targetPort": "grpc",
    "protocol": "TCP",
    "appProtocol": "kubernetes.io/h2c",
}


@pytest.mark.parametrize(
    ("before", "after", "port"),
    [
        ({}, {"grpcPort": 9000}, GRPC),
        ({"grpcPort": 9000}, {"grpcPort": 9001}, GRPC | {"port": 9001}),
        ({"grpcPort": 80, "port": 9000}, {"grpcPort": 9000, "port": 80}, GRPC),
        ({"grpcPort": 9000}, {}, None),
    ],
    ids=["set", "changed", "swapped with the HTTP port", "removed"],
)
def test_a_port_for_grpc_comes_changes_and_goes_without_a_new_pod(before, after, port):
    world = settled(service=before)
    template = world.deployment()["spec"]["template"]
    world.change(service=after)
    world.settle()
    assert [item for item in world.service()["spec"]["ports"] if item["name"] == "grpc"] == [port] * bool(
        port
    )
    assert world.deployment()["spec"]["template"] == template
    assert world.plan().actions == ()


@pytest.mark.parametrize("change", [{"targetPort": 5000}, {"appProtocol": "http"}, {"port": 9009}], ids=str)
def test_a_port_for_grpc_that_somebody_edits_is_put_right(change):
    world = settled(service={"grpcPort": 9000})
    world.service()["spec"]["ports"][1] |= change
    world.settle()
    assert world.service()["spec"]["ports"][1] == GRPC


def test_a_deleted_child_is_made_again():
    for key in settled(replicas=2).objects:
        world = settled(replicas=2)
        del world.objects[key]
        world.settle()
        assert key in world.objects
