"""One limit on a call, over everything that it waits for."""

import threading
import time
from contextlib import ExitStack

import grpc
import pytest

from catfish_server.images import decode
from catfish_server.images.source import ImageSource
from catfish_server.protocol import body
from catfish_server.protocol.generated import open_inference_pb2 as pb
from localcluster.ports import free_ports
from tests.model_server.web.test_app import Source
from tests.model_server.web.test_gone import GRPC, classifier, gate  # noqa: F401 (fixtures)

LIMIT = 1.0
MORE = 20.0  # well under each of the 30 s that the model and a message have by themselves


class Slow(Source):
    """Takes most of the call's time."""

    def fetch(self, url):
        threading.Event().wait(0.7 * LIMIT)
        return super().fetch(url)


def asked_of_gate(channel, timeout):
    request = pb.ModelInferRequest(model_name="catfish", raw_input_contents=[bytes(3 * 32 * 32 * 4)])
    request.inputs.add(name="pixels", datatype="FP32", shape=[1, 3, 32, 32])
    ask = channel.unary_unary(GRPC, request_serializer=pb.ModelInferRequest.SerializeToString)
    return ask.future(request, timeout=timeout)


@pytest.mark.parametrize("waits_for", ["the model", "room to decode"])
def test_fetching_and_waiting_take_no_longer_than_the_call_may(
    client_of, problem, jpeg, monkeypatch, waits_for
):
    client, began = client_of(source=Slow(jpeg), request_timeout_seconds=LIMIT), time.monotonic()
    with ExitStack() as held:
        if waits_for == "room to decode":
            room = decode.Room(1, patience_seconds=60)
            held.enter_context(room.held(1))
            monkeypatch.setitem(decode.decode.__kwdefaults__, "room", room)
        answer = client.get("/predict", query_string={"image_url": "http://pictures.test/1.jpg"})
    assert time.monotonic() - began < MORE
    told = {"the model": "The model did not answer", "room to decode": "Too many large images"}
    assert problem(answer, 503)["detail"].startswith(told[waits_for])
    assert answer.headers["Retry-After"] == "1"


def test_an_address_that_is_slow_is_not_waited_for_beyond_the_call(client_of, problem):
    never = threading.Event()
    source = ImageSource(resolve=lambda _host, _port: never.wait(30) or [], timeout_seconds=60)
    client, began = client_of(source=source, request_timeout_seconds=LIMIT), time.monotonic()
    answer = client.get("/predict", query_string={"image_url": "http://pictures.test/1.jpg"})
    never.set()
    assert time.monotonic() - began < MORE
    assert problem(answer, 422)["detail"].startswith("It did not arrive within")


def test_what_came_too_late_for_the_model_is_not_decoded(client_of, problem, jpeg):
    client = client_of(source=Slow(jpeg), request_timeout_seconds=0.5 * LIMIT)
    answer = client.get("/predict", query_string={"image_url": "http://pictures.test/1.jpg"})
    assert problem(answer, 503)["detail"] == "The call was not answered within 0.5 s."
    assert b'catfish_rejections_total{reason="deadline"} 1.0' in client.metrics.text()


def test_a_tensor_in_json_waits_no_longer_for_its_turn_to_be_read(client_of, monkeypatch):
    monkeypatch.setattr(body, "PATIENCE_SECONDS", 60.0)
    tensor = {"name": "pixels", "datatype": "FP32", "shape": [1, 3, 32, 32], "data": [0.0] * (3 * 32 * 32)}
    client, began = client_of(request_timeout_seconds=LIMIT), time.monotonic()
    with body._reading:
        answer = client.post("/v2/models/catfish/infer", json={"inputs": [tensor] * 8})
    assert time.monotonic() - began < MORE
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "1")


def test_a_grpc_call_is_told_in_time_that_it_gets_no_answer(running, gate):  # noqa: F811
    (port,) = free_ports(1)
    running(grpc_port=port, request_timeout_seconds=LIMIT)
    began = time.monotonic()
    with grpc.insecure_channel(f"127.0.0.1:{port}", options=[("grpc.enable_retries", 0)]) as channel:
        call = asked_of_gate(channel, timeout=60)
        assert (call.code(), call.details()[:24]) == (grpc.StatusCode.UNAVAILABLE, "The model did not answer")
        assert dict(call.trailing_metadata())["grpc-retry-pushback-ms"] == "1000"
        silent = channel.stream_unary(GRPC).future(iter(threading.Event().wait, True), timeout=60)
        assert silent.code() is grpc.StatusCode.CANCELLED
    gate.open.set()
    assert time.monotonic() - began < MORE
