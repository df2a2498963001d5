import json

import pytest

from catfish_operator import errors
from catfish_operator.plugin import api
from catfish_operator.plugin.problems import NotConfigured, NotPossible, exit_code
from tests.operator.plugin.conftest import write_kubeconfig


def connect(kubeconfig, *, context=None, namespace=None):
    return api.connect(kubeconfig=kubeconfig, context=context, namespace=namespace)


@pytest.mark.parametrize(
    ("context", "namespace", "used"),
    [(None, None, "default"), ("two", None, "pets"), ("two", "x", "x"), (None, "x", "x")],
)
def test_the_namespace_is_the_one_asked_for_else_that_of_the_context(
    server, kubeconfig, context, namespace, used
):
    with connect(kubeconfig, context=context, namespace=namespace) as opened:
        opened.model("cat")
    (asked,) = server.asked
    assert asked[1] == f"/apis/catfish.dev/v1alpha1/namespaces/{used}/catfishmodels/cat"
    assert asked[2]["authorization"] == "Bearer secret-token"
    assert asked[2]["User-Agent"] == "kubectl-catfish"


def test_a_list_is_sent_as_a_json_patch_and_an_object_as_a_merge_patch(server, kubeconfig):
    with connect(kubeconfig) as opened:
        opened.patch("cat", [{"op": "test"}])
        opened.patch("cat", {"metadata": {}})
    sent = [(asked[2]["Content-Type"], json.loads(asked[3])) for asked in server.asked]
    assert sent == [
        ("application/json-patch+json", [{"op": "test"}]),
        ("application/merge-patch+json", {"metadata": {}}),
    ]
    assert all(asked[1].endswith("?fieldManager=kubectl-catfish") for asked in server.asked)


NOT_FOUND = {"message": 'catfishmodels.catfish.dev "cat" not found', "details": {"name": "cat"}}


@pytest.mark.parametrize(
    ("status", "answer", "error"),
    [
        (404, NOT_FOUND, (NotPossible, "there is no CatfishModel cat in namespace default", 1)),
        (
            404,
            "404 page not found",
            (errors.NotServed, "does not know CatfishModel: is the CRD installed?", 3),
        ),
        (401, {"message": "Unauthorized"}, (errors.NotAllowed, "does not accept the credentials", 1)),
        (403, {"message": "User x cannot get"}, (errors.NotAllowed, "forbidden: User x cannot get", 1)),
        (409, {"message": "conflict"}, (errors.Stale, "somebody has changed cat in namespace default", 1)),
        (422, {"message": "testing value /a failed"}, (errors.Stale, "somebody has changed cat", 1)),
        (
            422,
            {"message": "spec.image: bad"},
            (errors.Refused, "the API server refuses it: spec.image: bad", 1),
        ),
        (500, "<html>oops", (errors.Unreachable, "the API server says: HTTP status 500", 3)),
        (200, "<html>a portal", (errors.Unreachable, "the API server says: HTTP status 200", 3)),
    ],
    ids=lambda value: str(value)[:20],
)
def test_each_answer_is_an_error_of_one_line_with_its_exit_code(server, kubeconfig, status, answer, error):
    kind, text, code = error
    server.answer = (status, (answer if isinstance(answer, str) else json.dumps(answer)).encode())
    with connect(kubeconfig) as opened, pytest.raises(kind) as caught:
        opened.model("cat")
    assert text in str(caught.value)
    assert "\n" not in str(caught.value)
    assert exit_code(caught.value) == code


def test_a_cluster_that_does_not_answer_is_named_once(tmp_path, caplog):
    with (
        connect(write_kubeconfig(tmp_path / "config", "http://127.0.0.1:1")) as opened,
        pytest.raises(
            errors.Unreachable, match=r"^http://127\.0\.0\.1:1 does not answer: .*Connection refused$"
        ) as caught,
    ):
        opened.model("cat")
    assert exit_code(caught.value) == 3
    assert not caplog.records  # the client logs, to stderr, each time that it tries again


@pytest.mark.parametrize(
    ("content", "context"),
    [
        (None, None),
        ("", None),
        ("a: [", None),
        ("kind: Config", None),
        ("valid", "three"),
        ("- a\n- b\n", None),
        ("just words", None),
        ("contexts: 3\nclusters: 4\nusers: 5\ncurrent-context: x\n", None),
    ],
    ids=["no file", "empty", "no YAML", "no kubeconfig", "no such context", "a list", "a string", "numbers"],
)
def test_a_kubeconfig_that_says_too_little_is_one_line(tmp_path, content, context):
    path = tmp_path / "config"
    if content == "valid":
        write_kubeconfig(path, "http://127.0.0.1:1")
    elif content is not None:
        path.write_text(content)
    with (
        pytest.raises(NotConfigured, match=r"^kubeconfig: [^\n]+$") as caught,
        connect(str(path), context=context),
    ):
        pass
    assert exit_code(caught.value) == 3


def test_a_context_can_be_named_where_none_is_current(tmp_path, server):
    path = tmp_path / "config"
    written = write_kubeconfig(path, f"http://127.0.0.1:{server.server_port}")
    path.write_text(path.read_text().replace("current-context: one\n", ""))
    with connect(written, context="two") as opened:
        assert opened.namespace == "pets"
