"""Clients that leave while their image waits."""

import json
import socket
import threading
import urllib.request

import grpc
import numpy as np
import pytest

from catfish_server.inference.classifier import Classifier
from catfish_server.protocol.generated import open_inference_pb2 as pb
from localcluster.ports import free_ports

INFER = "/v2/models/catfish/infer"
GRPC = "/inference.GRPCInferenceService/ModelInfer"
COUNTED = b'code="499",path="/inference.GRPCInferenceService/ModelInfer"} 1.0'


class Gate:
    def __init__(self):
        self.open = threading.Event()
        self.entered = threading.Semaphore(0)
        self.images = 0

    def __call__(self, batch):
        self.images += len(batch)
        self.entered.release()
        assert self.open.wait(60)
        return np.zeros((len(batch), 2), np.float32)


@pytest.fixture
def gate():
    return Gate()


@pytest.fixture
def classifier(gate):
    """Takes the place of the usual one: its only inference thread stands at a gate."""
    options = {"image_size": 32, "mean": (0, 0, 0), "std": (1, 1, 1), "unknown_threshold": None, "threads": 1}
    made = Classifier(gate, ("cat", "fish"), **options)
    yield made
    gate.open.set()
    made.close()


@pytest.fixture(params=["/predict", INFER])
def asking(request, jpeg):
    """Sends one image and leaves the connection open; its path."""
    data = np.zeros((1, 3, 32, 32), np.float32).ravel().tolist()
    tensor = {"name": "pixels", "datatype": "FP32", "shape": [1, 3, 32, 32], "data": data}
    sent = {
        "/predict": ("image/jpeg", jpeg),
        INFER: ("application/json", json.dumps({"inputs": [tensor]}).encode()),
    }
    kind, body = sent[request.param]

    def ask(address):
        connection = socket.create_connection(address, timeout=30)
        head = f"POST {request.param} HTTP/1.1\r\nHost: x\r\nContent-Type: {kind}\r\n"
        connection.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
        return connection

    ask.path = {INFER: "/v2/models/{model}/infer"}.get(request.param, request.param)
    return ask


def test_the_image_of_a_client_who_has_left_is_never_run(running, classifier, gate, asking):
    served, engine = running(), classifier.engine
    first = asking(served.address)
    assert gate.entered.acquire(timeout=30)
    leaving, staying = asking(served.address), asking(served.address)
    served.wait_for(lambda: engine.queued() == 2)
    leaving.close()
    served.wait_for(lambda: engine.queued() == 1)
    gate.open.set()
    for connection in (first, staying):
        assert connection.recv(65536).startswith(b"HTTP/1.1 200")
        connection.close()
    assert gate.images == 2
    line = f'code="499",path="{asking.path}"}} 1.0'.encode()
    served.wait_for(lambda: line in metrics(served))


@pytest.mark.parametrize("how", ["leaves", "has no time left"])
def test_the_image_of_a_grpc_client_who_has_left_is_never_run_and_nothing_is_wrong(
    running, classifier, gate, caplog, how
):
    (port,) = free_ports(1)
    served, engine = running(grpc_port=port), classifier.engine
    request = pb.ModelInferRequest(model_name="catfish", raw_input_contents=[bytes(3 * 32 * 32 * 4)])
    request.inputs.add(name="pixels", datatype="FP32", shape=[1, 3, 32, 32])
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        ask = channel.unary_unary(GRPC, request_serializer=pb.ModelInferRequest.SerializeToString)
        first = ask.future(request, timeout=60)
        assert gate.entered.acquire(timeout=30)
        leaving = ask.future(request, timeout=60 if how == "leaves" else 1)
        if how == "leaves":
            served.wait_for(lambda: engine.queued() == 1)
            leaving.cancel()
        else:
            assert leaving.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        served.wait_for(lambda: engine.queued() == 0)
        gate.open.set()
        assert first.result()
        served.wait_for(lambda: COUNTED in metrics(served))
    assert gate.images == 1
    assert [record.message for record in caplog.records if record.exc_info] == []


def metrics(served):
    with urllib.request.urlopen("http://{}:{}/metrics".format(*served.admin_address), timeout=30) as reply:
        return reply.read()
