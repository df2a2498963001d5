"""One call, with a client that is made up: what it is told, and what is counted."""

import threading
import time
from types import SimpleNamespace

import grpc
import pytest

from catfish_server.lifecycle import Lifecycle
from catfish_server.protocol.calls import SERVICE, Calls
from catfish_server.protocol.generated import open_inference_pb2 as pb
from catfish_server.protocol.model import OpenModel
from catfish_server.service import Service
from catfish_server.settings import Settings
from catfish_server.telemetry.metrics import Metrics
from tests.model_server.web.test_gone import classifier, gate  # noqa: F401 (fixtures)

INFER = f"/{SERVICE}/ModelInfer"
LIMIT = 1.0
DETAILS = SimpleNamespace(method=INFER, invocation_metadata=())


class Context:
    """A call of gRPC's, as far as it is used."""

    def __init__(self, *, seconds=None, active=True):
        self.until = None if seconds is None else time.monotonic() + seconds
        self.active = active
        self.code, self.trailing = grpc.StatusCode.OK, ()

    def time_remaining(self):
        return None if self.until is None else self.until - time.monotonic()

    def is_active(self):
        return self.active

    def cancel(self):
        self.active = False

    def peer(self):
        return "ipv4:127.0.0.1:9"

    def send_initial_metadata(self, metadata):
        pass

    def set_trailing_metadata(self, metadata):
        self.trailing = metadata

    def set_code(self, code):
        self.code = code

    def set_details(self, details):
        self.details = details


def of_pixels(count=1):
    request = pb.ModelInferRequest(model_name="catfish", raw_input_contents=[bytes(count * 3 * 32 * 32 * 4)])
    request.inputs.add(name="pixels", datatype="FP32", shape=[count, 3, 32, 32])
    return request.SerializeToString()


@pytest.fixture
def ask(classifier):  # noqa: F811
    """A function that has a call answered; its context, and the statuses that were counted."""

    def call(context, sent=None, **settings):
        made = Settings(location="", threads=1, image_size=32, classes=("cat", "fish"), **settings)
        counted = []
        metrics = Metrics(Lifecycle(), revision="")
        model = OpenModel(Service(made, classifier, metrics), ready=lambda: True)
        calls = Calls(model, metrics, revision=None, exchanged=lambda entry: counted.append(entry.status))
        calls.service(DETAILS).stream_unary(iter([of_pixels()]) if sent is None else sent, context)
        assert f'code="{counted[0]}",path="{INFER}"}} 1.0'.encode() in metrics.text()
        return context, counted

    return call


@pytest.mark.parametrize(
    ("client", "code"),
    [
        pytest.param({"seconds": -1.0}, "DEADLINE_EXCEEDED", id="has no time left"),
        pytest.param({"seconds": -1.0, "active": False}, "DEADLINE_EXCEEDED", id="has given up"),
        pytest.param({"active": False}, "CANCELLED", id="has left"),
    ],
)
def test_who_does_not_wait_for_the_turn_of_the_call_is_no_error_of_the_server(ask, gate, client, code):  # noqa: F811
    context, counted = ask(Context(**client))
    assert (context.code.name, context.trailing, counted, gate.images) == (code, (), [499], 0)


def test_a_call_is_waited_for_no_longer_than_its_client_says_also_where_it_stays(ask):
    began = time.monotonic()
    context, counted = ask(Context(seconds=LIMIT))
    assert time.monotonic() - began < 20.0  # the server would give it 30 s
    assert (context.code.name, context.trailing, counted) == ("DEADLINE_EXCEEDED", (), [499])


def test_a_call_whose_images_take_longer_than_its_client_gives_is_told_so_at_once(ask, classifier, gate):  # noqa: F811
    gate.open.set()
    classifier.engine._running.pace.record(1, 60.0)
    context, counted = ask(Context(seconds=20.0), iter([of_pixels(8)]))
    assert (context.code.name, context.trailing, counted, gate.images) == ("DEADLINE_EXCEEDED", (), [499], 0)


def test_the_time_that_a_message_takes_to_come_is_not_the_server_s(ask, gate):  # noqa: F811
    def slowly():
        threading.Event().wait(0.8 * LIMIT)
        threading.Timer(0.5 * LIMIT, gate.open.set).start()
        yield of_pixels()

    context, counted = ask(Context(), slowly(), request_timeout_seconds=LIMIT)
    assert (context.code.name, counted) == ("OK", [200])
