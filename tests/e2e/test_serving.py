"""One model, asked in every way that the page on the API names."""

import base64
import http.client
import json
import socket
from urllib.parse import urlsplit

import pytest

from catfish_server.images.source import AddressRefused
from catfish_server.images.urls import InvalidURL
from demo import model, pictures, tools, weights
from localcluster import addresses
from tests.asking import photograph

pytestmark = pytest.mark.e2e


def test_the_service_leads_from_port_80_to_port_5000_of_the_pods(kube, shared):
    namespace, _ = shared
    service = kube.get("service", "catfish", namespace)
    assert service["spec"]["type"] == "LoadBalancer"
    (port,) = service["spec"]["ports"]
    assert (port["name"], port["port"], port["targetPort"]) == ("http", 80, "http")
    pods = model.pods(kube, "catfish", namespace)
    (container,) = pods[0]["spec"]["containers"]
    assert {"name": "http", "containerPort": 5000, "protocol": "TCP"} in container["ports"]
    slices = kube.list("endpointslices", namespace, "kubernetes.io/service-name=catfish")
    assert [port["port"] for found in slices for port in found["ports"]] == [5000]


def test_the_address_in_status_is_the_one_of_the_service(kube, shared):
    namespace, address = shared
    service = kube.get("service", "catfish", namespace)
    assert address == f"http://{service['status']['loadBalancer']['ingress'][0]['ip']}"


def test_the_root_says_ok(shared):
    answer = model.ask(shared[1], path="/")
    assert (answer.status, answer.body) == (200, {"status": "ok"})


def test_a_photograph_sent_as_bytes_is_a_cat(shared):
    answer = model.ask(shared[1], photograph())
    assert answer.status == 200
    assert answer.body["prediction"] == "cat"
    assert answer.body["image"].startswith("sha256:")


def test_a_fish_is_a_fish(shared):
    fish = (pictures.collect(tools.cache()) / "clownfish.png").read_bytes()
    assert model.ask(shared[1], fish).body["prediction"] == "fish"


def test_a_photograph_sent_in_json_is_a_cat(shared):
    body = json.dumps({"image": base64.b64encode(photograph()).decode()}).encode()
    answer = model.ask(shared[1], body, content_type="application/json")
    assert (answer.status, answer.body["prediction"]) == (200, "cat")


def test_a_photograph_named_by_its_address_is_a_cat(shared):
    address = f"{weights.CLUSTER_STORE}/pictures/{pictures.PHOTOGRAPH}"
    answer = model.ask(shared[1], image_url=address)
    assert (answer.status, answer.body["prediction"], answer.body["image"]) == (200, "cat", address)


def test_a_photograph_named_by_its_address_in_json_is_a_cat(shared):
    body = json.dumps({"image_url": f"{weights.CLUSTER_STORE}/pictures/{pictures.PHOTOGRAPH}"}).encode()
    answer = model.ask(shared[1], body, content_type="application/json")
    assert (answer.status, answer.body["prediction"]) == (200, "cat")


def test_the_answer_names_the_revision_that_gave_it(kube, shared):
    namespace, address = shared
    target = kube.get("cfm", "catfish", namespace)["status"]["targetRevision"]
    assert model.ask(address, photograph()).headers["X-Catfish-Revision"] == target


def assert_refused(answer, kind):
    """Refused for what it is, and not because nothing came of the attempt."""
    assert (answer.status, answer.body["status"]) == (kind.status, kind.status), answer
    assert answer.body["title"] == kind.title
    assert answer.headers["Content-Type"].startswith("application/problem+json")
    assert "Traceback" not in json.dumps(answer.body)


@pytest.mark.parametrize(
    ("forbidden", "kind"),
    [
        pytest.param("http://198.18.128.1/", AddressRefused, id="the API server's Service"),
        pytest.param("http://127.0.0.1:5002/metrics", AddressRefused, id="the server's own admin port"),
        pytest.param(
            "http://198.18.0.1:8000/pictures/chelsea.png",
            AddressRefused,
            id="the store by its address, not its name",
        ),
        pytest.param("http://[::1]/", AddressRefused, id="loopback in IPv6"),
        pytest.param("file:///etc/passwd", InvalidURL, id="a file"),
    ],
)
def test_an_address_inside_the_cluster_is_refused(shared, forbidden, kind):
    assert_refused(model.ask(shared[1], image_url=forbidden), kind)


@pytest.fixture
def listener():
    """A socket on the machine, on a port that pictures may come from; it accepts nothing by itself."""
    for port in (80, 443):
        try:
            server = socket.create_server((addresses.HOST, port))
        except OSError:  # something of the machine listens there
            continue
        with server:
            server.settimeout(10)
            yield server
        return
    pytest.fail("neither port 80 nor 443 of the machine is free")


def test_an_address_of_the_machine_that_pods_can_reach_is_refused_without_a_connection(
    kube, shared, listener
):
    namespace, address = shared
    host, port = listener.getsockname()
    (pod,) = model.pods(kube, "catfish", namespace)
    connect = f"import socket; socket.create_connection(({host!r}, {port}), 5).close()"
    command = (weights.PYTHON, "-c", connect)
    kube.run("exec", pod["metadata"]["name"], "--namespace", namespace, "--", *command)
    listener.accept()[0].close()  # so the pod can reach it
    assert_refused(model.ask(address, image_url=f"http://{host}:{port}/"), AddressRefused)
    listener.setblocking(False)
    with pytest.raises(BlockingIOError):
        listener.accept()


@pytest.mark.parametrize(
    ("body", "content_type", "status"),
    [
        pytest.param(b"not a picture", "image/png", {400, 415, 422}, id="not a picture"),
        pytest.param(photograph, "image/png", {400, 415, 422}, id="a picture cut in the middle"),
        pytest.param(b"x" * (10 * 1024 * 1024 + 1), "image/png", {413}, id="too large"),
        pytest.param(b"{}", "application/json", {400, 422}, id="JSON without an image"),
    ],
)
def test_what_is_not_a_picture_is_refused_as_problem_json(shared, body, content_type, status):
    sent = body if isinstance(body, bytes) else body()[:5000]
    try:
        answer = model.ask(shared[1], sent, content_type=content_type)
    except (BrokenPipeError, ConnectionResetError):
        # Refused while the body was still on its way; that the reply is whole, the tests of the server show.
        assert status == {413}
        return
    assert answer.status in status, answer
    assert answer.headers["Content-Type"].startswith("application/problem+json")


def test_the_admin_port_is_not_behind_the_address(shared):
    connection = http.client.HTTPConnection(urlsplit(shared[1]).hostname, 5002, timeout=3)
    with pytest.raises(OSError):  # noqa: PT011 - refused or no answer, as the node's rules have it
        connection.request("GET", "/metrics")
    connection.close()


def test_a_namespace_for_restricted_pods_accepts_them_and_they_are_what_they_say(kube, shared):
    namespace, _ = shared
    (pod,) = model.pods(kube, "catfish", namespace)
    (container,) = pod["spec"]["containers"]
    assert container["securityContext"]["readOnlyRootFilesystem"] is True
    assert pod["spec"]["automountServiceAccountToken"] is False

    def inside(*command: str) -> str:
        return kube.run("exec", pod["metadata"]["name"], "--namespace", namespace, "--", *command)

    assert inside("id", "-u").strip() != "0"
    assert "CapEff:\t0000000000000000" in inside("cat", "/proc/1/status")
    assert inside("sh", "-c", "touch /forbidden 2>/dev/null || echo refused").strip() == "refused"
    assert inside("sh", "-c", "touch /tmp/allowed && echo fine").strip() == "fine"
