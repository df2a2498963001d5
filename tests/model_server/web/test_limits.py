"""Every limit on what strangers send is the one that the settings say, be it less than the default or more."""

import contextlib
import json
import select
import threading

import grpc
import pytest

from catfish_server.images.decode import FORMATS
from catfish_server.protocol.generated import open_inference_pb2 as pb
from catfish_server.variables import IMAGE_FORMATS
from localcluster.ports import free_ports
from tests.model_server.images.test_source import answer, redirect, silence, site  # noqa: F401 (a fixture)


@pytest.mark.parametrize(
    ("limit", "status"), [(1024, b"431"), (4096, b"200")], ids=["a header beyond it", "a header within it"]
)
def test_a_header_may_be_as_large_as_the_setting_says(wire, running, limit, status):
    head = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nX: " + b"x" * 2000 + b"\r\n\r\n"
    assert wire.exchange(running(max_header_bytes=limit).address, head).split()[1] == status


def test_a_header_larger_than_the_default_is_read_where_the_setting_says_so(wire, running):
    head = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nX: " + b"x" * 50_000 + b"\r\n\r\n"
    assert wire.exchange(running().address, head).split()[1] == b"431"
    assert wire.exchange(running(max_header_bytes=60_000).address, head).split()[1] == b"200"


@pytest.mark.parametrize(("limit", "code"), [(1024, "RESOURCE_EXHAUSTED"), (60_000, "OK")])
def test_the_metadata_of_a_grpc_call_may_be_as_large_as_the_setting_says(running, limit, code):
    (port,) = free_ports(1)
    running(grpc_port=port, max_header_bytes=limit)
    with grpc.insecure_channel(f"127.0.0.1:{port}", [("grpc.enable_retries", 0)]) as channel:
        ask = channel.unary_unary("/inference.GRPCInferenceService/ServerLive")
        sent = pb.ServerLiveRequest().SerializeToString()
        call = ask.future(sent, timeout=30, metadata=[("x", "x" * (2000 if limit < 10_000 else 50_000))])
        assert call.code().name == code


@pytest.mark.parametrize(("setting", "status"), [({}, 408), ({"header_timeout_seconds": 20.0}, None)])
def test_a_header_may_take_as_long_as_the_setting_says(wire, running, setting, status):
    served = running(**({"header_timeout_seconds": 0.2} | setting))
    with wire.connect(served.address) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nHost:")
        if status is None:
            assert not select.select([connection], [], [], 2)[0]
        else:
            assert wire.one_answer(wire.everything(connection)) == status


@pytest.mark.parametrize(
    ("rate", "seconds", "status"),
    [(1, 1.0, b"400"), (64 * 1024, 1.0, b"408"), (64 * 1024, 20.0, b"400")],
    ids=["at the least rate", "below the least rate", "within the time for any rate"],
)
def test_a_body_may_take_as_long_as_the_settings_say(wire, running, rate, seconds, status):
    served, body = (
        running(body_bytes_per_second=rate, body_timeout_seconds=seconds),
        b'{"image_url": "no"}' + b" " * 8,
    )
    head = b"POST /predict HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nConnection: close\r\n"
    with wire.connect(served.address) as connection:
        connection.sendall(head + b"Content-Length: %d\r\n\r\n" % len(body))
        for number in range(len(body)):
            with contextlib.suppress(OSError):  # it was cut
                connection.sendall(body[number : number + 1])
            threading.Event().wait(0.1)
        assert wire.everything(connection).split()[1] == status


@pytest.mark.parametrize(("limit", "closed"), [(12, 20), (2000, 0)])
def test_there_are_no_more_connections_than_the_setting_says(wire, running, limit, closed):
    served = running(max_connections=limit)
    with contextlib.ExitStack() as stack:
        opened = [stack.enter_context(wire.connect(served.address)) for _ in range(30)]
        assert wire.get(served.address)[0] == 200
        served.wait_for(lambda: len(select.select(opened, [], [], 0)[0]) >= closed)
        assert bool(select.select(opened, [], [], 0)[0]) is bool(closed)


@pytest.mark.parametrize(("limit", "status"), [(10, 400), (40, 200)])
@pytest.mark.parametrize("path", ["/predict", "/feedback"])
def test_json_may_have_as_many_brackets_as_the_setting_says(client_of, problem, path, limit, status):
    document = json.dumps({"image_url": "[" * 35})
    reply = client_of(max_json_brackets=limit, max_images=1).post(
        path, data=document, content_type="application/json"
    )
    told = problem(reply, reply.status_code)
    assert ("brackets" in told["detail"]) is (status == 400)


@pytest.mark.parametrize(("formats", "status"), [(("PNG", "GIF"), 415), (("JPEG",), 200)])
def test_only_the_formats_of_the_setting_are_decoded(client_of, jpeg, formats, status):
    reply = client_of(image_formats=formats).post("/predict", data=jpeg, content_type="image/jpeg")
    assert reply.status_code == status
    if status == 415:
        assert reply.get_json()["detail"] == "The bytes are none of PNG, GIF."


def test_every_format_that_is_decoded_has_a_word_for_the_setting():
    assert IMAGE_FORMATS == FORMATS


@pytest.fixture
def pictures(site, jpeg):  # noqa: F811
    """The address of a site with an image, one that is too large, redirects and silence."""
    site.stopped = threading.Event()
    site.script |= {f"/{number}": redirect(f"/{number - 1}") for number in range(2, 5)}
    site.script |= {"/1": redirect("/image"), "/image": answer(body=jpeg), "/silent": silence}
    site.script["/large"] = answer(body=b"x" * 10_485_761)
    yield f"http://127.0.0.1:{site.server_port}"
    site.stopped.set()


@pytest.mark.parametrize(
    ("setting", "path", "told"),
    [
        ({"image_urls_max_bytes": 600}, "/image", (413, "It is ")),
        ({"image_urls_max_bytes": 20_000}, "/image", (200, "")),
        ({}, "/large", (413, "It is 10485761 bytes; the limit is 10485760")),
        ({"image_urls_max_bytes": 10_485_761}, "/large", (415, "The bytes are none of")),
        ({"image_urls_max_redirects": 0}, "/1", (422, "It redirects more than 0 times.")),
        ({}, "/4", (422, "It redirects more than 3 times.")),
        ({"image_urls_max_redirects": 4}, "/4", (200, "")),
        ({"image_urls_timeout_seconds": 0.3}, "/silent", (422, "It did not arrive within 0.3 s.")),
    ],
)
def test_an_address_is_fetched_within_the_settings(client_of, pictures, setting, path, told):
    client = client_of(image_urls_allow_hosts=("127.0.0.1",), **setting)
    reply = client.get("/predict", query_string={"image_url": pictures + path})
    status, beginning = told
    assert reply.status_code == status
    assert reply.get_json().get("detail", "").startswith(beginning)
