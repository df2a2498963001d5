"""What the API server's answers mean, and what is sent to it."""

import asyncio

import pytest

from catfish_operator import errors
from catfish_operator.cluster import KINDS, MODEL, KubernetesCluster, kind_of, merge_patch
from catfish_operator.connection import error_of, in_cluster, in_cluster_server

QUOTA = 'deployments.apps "cat" is forbidden: exceeded quota: tight, requested: count/deployments.apps=1'
RBAC = (
    'deployments.apps "cat" is forbidden: User "system:serviceaccount:a:b" cannot patch resource '
    '"deployments" '
    'in API group "apps" in the namespace "c"'
)
POLICY = "deployments.apps 'cat' is forbidden: ValidatingAdmissionPolicy denied request: no :latest"


@pytest.mark.parametrize(
    ("status", "message", "expected"),
    [
        (404, "not found", errors.NotServed),
        (409, "the object has been modified", errors.Stale),
        (422, "testing value /metadata/uid failed: test failed", errors.Stale),
        (422, "spec.ports[0].port: Invalid value", errors.Refused),
        (403, QUOTA, errors.Refused),
        (403, POLICY, errors.Refused),
        (400, "admission webhook denied the request", errors.Refused),
        (403, RBAC, errors.NotAllowed),
        (401, "Unauthorized", errors.NotAllowed),
        (410, "the provided continue parameter is too old", errors.Unreachable),
        (429, "too many requests", errors.Unreachable),
        (500, "failed calling webhook", errors.Unreachable),
        (503, "", errors.Unreachable),
    ],
)
def test_an_answer_says_who_must_act(status, message, expected):
    error = error_of("PATCH /x", status=status, answer={"message": message})
    assert type(error) is expected


@pytest.mark.parametrize(("message", "reason"), [(QUOTA, "QuotaExceeded"), (POLICY, "AdmissionDenied")])
def test_a_refusal_has_a_reason_and_one_line(message, reason):
    error = error_of("PATCH /x", status=403, answer={"message": message.replace(": ", ":\n ")})
    assert (error.reason, error.message) == (reason, message)


def test_credentials_that_the_api_server_quotes_go_no_further():
    text = 'spec.weights.url: Invalid value: "https://user:hunter2@store/cat.pt?X-Amz-Signature=s3cret": no'
    for status in (422, 500):
        said = str(error_of("PATCH /x", status=status, answer={"message": text}))
        assert "store/cat.pt" in said
        assert not {"hunter2", "s3cret"} & set(
            said.replace(":", " ").replace("@", " ").replace("=", " ").split()
        )


def test_a_namespace_on_its_way_out_is_not_a_persons_fault():
    answer = {"message": "is being terminated", "details": {"causes": [{"reason": "NamespaceTerminating"}]}}
    assert type(error_of("PATCH /x", status=403, answer=answer)) is errors.Unreachable


@pytest.mark.parametrize(
    ("live", "wanted", "patch"),
    [
        ({}, {"a": 1}, {"a": 1}),
        ({"a": 1}, {}, {"a": None}),
        ({"a": 1, "b": 2}, {"a": 1, "b": 3}, {"b": 3}),
        ({"a": {"x": 1, "y": 2}}, {"a": {"x": 1}}, {"a": {"y": None}}),
        ({"a": {"x": 1}}, {"a": {"x": 1}}, {}),
        ({"a": [1]}, {"a": [2]}, {"a": [2]}),
        ({"a": [1]}, {"a": {"x": 1}}, {"a": {"x": 1}}),
    ],
)
def test_a_merge_patch_turns_one_into_the_other(live, wanted, patch):
    assert merge_patch(live, wanted) == patch


class Discovery:
    """The two places where a kind is looked for."""

    def __init__(self, *, groups, plurals):
        versions = [{"versions": [{"groupVersion": name}]} for name in groups]
        self._answers = {"/apis": {"groups": versions}}
        if plurals is not None:
            self._answers[f"/apis/{MODEL.api_version}"] = {"resources": [{"name": name} for name in plurals]}

    async def call(self, _, path):
        if path not in self._answers:
            raise errors.NotServed("404")
        return self._answers[path]


@pytest.mark.parametrize(
    ("groups", "plurals", "served"),
    [
        (["apps/v1", MODEL.api_version], ["catfishmodels"], True),
        (["apps/v1"], ["catfishmodels"], False),  # kopf would not find it yet
        (["apps/v1", MODEL.api_version], ["others"], False),
        (["apps/v1", MODEL.api_version], None, False),
    ],
    ids=["served", "its group is not listed yet", "another kind of the group", "its group is going"],
)
def test_a_kind_is_served_once_kopf_would_find_it(groups, plurals, served):
    cluster = KubernetesCluster(Discovery(groups=groups, plurals=plurals))
    assert asyncio.run(cluster.served(MODEL)) is served


class Recorder:
    """Remembers what is sent."""

    def __init__(self):
        self.query, self.sent = {}, {}

    async def call(self, _method, _path, *, query, body, **_):
        self.query, self.sent = query, body["metadata"]
        return {}


@pytest.mark.parametrize(
    ("uid", "precondition", "force"),
    [(None, {"resourceVersion": "1"}, "false"), ("u", {"uid": "u"}, "true")],
    ids=["only if there is none", "only onto this one"],
)
def test_an_apply_names_the_object_that_it_is_for(uid, precondition, force):
    there = {"namespace": "default", "name": "cat"}
    recorder = Recorder()
    manifest = {"apiVersion": "v1", "kind": "Service", "metadata": there}
    asyncio.run(KubernetesCluster(recorder).apply(manifest, uid=uid))
    assert (recorder.sent, recorder.query["force"]) == ({**there, **precondition}, force)


def test_where_objects_lie():
    assert MODEL.path("a", "b") == "/apis/catfish.dev/v1alpha1/namespaces/a/catfishmodels/b"
    assert kind_of("v1", "Service").path("a") == "/api/v1/namespaces/a/services"
    assert kind_of("apps/v1", "Deployment").path("") == "/apis/apps/v1/deployments"
    assert len({kind.kind for kind in KINDS}) == len(KINDS)


def test_a_kubeconfig_outranks_the_pod_that_we_run_in():
    pod = {"KUBERNETES_SERVICE_HOST": "10.0.0.1", "KUBERNETES_SERVICE_PORT": "443"}
    assert in_cluster(pod)
    assert not in_cluster({**pod, "KUBECONFIG": "/x"})
    assert not in_cluster({})


@pytest.mark.parametrize(
    ("host", "url"), [("10.0.0.1", "https://10.0.0.1:6443"), ("fd00::1", "https://[fd00::1]:6443")]
)
def test_the_api_server_as_the_kubelet_names_it(host, url):
    assert in_cluster_server({"KUBERNETES_SERVICE_HOST": host, "KUBERNETES_SERVICE_PORT": "6443"}) == url
