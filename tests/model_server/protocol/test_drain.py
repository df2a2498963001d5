"""The end of a server, seen by its gRPC clients: a real process, a real signal, real connections."""

import signal
import threading
import time

import grpc
import pytest

from catfish_server.protocol.generated import open_inference_pb2 as pb
from localcluster.ports import free_ports
from tests.model_server.web.test_drain import processes  # noqa: F401 (a fixture)

pytestmark = pytest.mark.process
INFER = "/inference.GRPCInferenceService/ModelInfer"
CLIENTS = 8
DRAIN_SECONDS = 1.0
AHEAD_SECONDS = 0.3
"""gRPC's server cancels the calls that arrive in the moment of its stop and that nobody has taken yet; whoever asks
so much earlier has been taken."""

REQUEST = pb.ModelInferRequest(
    model_name="catfish",
    inputs=[pb.ModelInferRequest.InferInputTensor(name="pixels", datatype="FP32", shape=[1, 3, 32, 32])],
    raw_input_contents=[bytes(3 * 32 * 32 * 4)],
)


class Client(threading.Thread):
    """Asks all the time on a connection of its own, until nobody answers there; tells when that was and why."""

    def __init__(self, port):
        super().__init__()
        self.port, self.answered, self.failed = port, 0, None
        self.last = 0.0  # when the last call began that was answered

    def run(self):
        # A pool of its own: channels of one process share their connections otherwise.
        options = [("grpc.use_local_subchannel_pool", 1)]
        with grpc.insecure_channel(f"127.0.0.1:{self.port}", options=options) as channel:
            ask = channel.unary_unary(INFER, request_serializer=pb.ModelInferRequest.SerializeToString)
            while True:
                began = time.monotonic()
                try:
                    ask(REQUEST, timeout=30)
                except grpc.RpcError as error:
                    self.failed = (began, error.code(), error.details())
                    return
                self.answered, self.last = self.answered + 1, began


@pytest.mark.parametrize("model_seconds", [0.0, 0.4], ids=["a quick model", "a slow model"])
def test_sigterm_under_load_loses_no_call_of_the_drain(processes, model_seconds):  # noqa: F811
    (port,) = free_ports(1)
    process = processes(DRAIN_SECONDS, model_seconds, port)
    clients = [Client(port) for _ in range(CLIENTS)]
    for client in clients:
        client.start()
    until = time.monotonic() + 60
    while sum(client.answered for client in clients) < 4 * CLIENTS:
        assert time.monotonic() < until
        assert all(client.is_alive() for client in clients)
        threading.Event().wait(0.01)
    told = time.monotonic()
    process.signal(signal.SIGTERM)
    process.found("Told to stop")
    draining = time.monotonic()
    code, seconds = process.ended(30)
    for client in clients:
        client.join(timeout=30)
    last = told + DRAIN_SECONDS - AHEAD_SECONDS
    assert [client.failed for client in clients if client.failed[0] < last] == []
    assert any(client.last > draining for client in clients), "calls that began in the drain were answered"
    assert code == 0
    assert DRAIN_SECONDS <= draining - told + seconds < 10.0
