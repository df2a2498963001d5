import threading
import time
from concurrent.futures import ThreadPoolExecutor

import grpc
import numpy as np
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

from catfish_server.protocol import calls, remote, tensors
from catfish_server.protocol.generated import open_inference_pb2 as pb

SERVICE = "/inference.GRPCInferenceService"


def ask(channel, method, request, **options):
    kinds = {name: getattr(pb, f"{method}{name}") for name in ("Request", "Response")}
    assert isinstance(request, kinds["Request"])
    stub = channel.unary_unary(
        f"{SERVICE}/{method}",
        request_serializer=kinds["Request"].SerializeToString,
        response_deserializer=kinds["Response"].FromString,
    )
    return stub.with_call(request, timeout=options.pop("timeout", 15), **options)


def refused(channel, request, code, method="ModelInfer", **options):
    with pytest.raises(grpc.RpcError) as caught:
        ask(channel, method, request, **options)
    assert caught.value.code() is code, caught.value
    assert "Traceback" not in caught.value.details()
    return caught.value


def asking(name, datatype, shape, raw=None, **contents):
    request = pb.ModelInferRequest(model_name="catfish", id="n1")
    tensor = request.inputs.add(name=name, datatype=datatype, shape=shape)
    for field, values in contents.items():
        getattr(tensor.contents, field).extend(values)
    if raw is not None:
        request.raw_input_contents.append(raw)
    return request


def of_pixels(pixels):
    return asking("pixels", "FP32", pixels.shape, raw=pixels.tobytes())


def test_raw_contents_are_answered_raw(channel, classifier, pixels):
    answer, _ = ask(channel(return_probabilities=True), "ModelInfer", of_pixels(pixels))
    assert (answer.model_name, answer.id, answer.model_version) == ("catfish", "n1", "catfish-0123456789")
    assert [output.name for output in answer.outputs] == ["label", "probability", "probabilities", "logits"]
    assert not any(output.HasField("contents") for output in answer.outputs)
    logits = np.frombuffer(answer.raw_output_contents[3], "<f4").reshape(answer.outputs[3].shape)
    assert logits == pytest.approx(classifier.infer(pixels.copy()), abs=1e-5)


def test_typed_contents_are_answered_typed(channel, jpeg, pixels):
    server = channel()
    answer, _ = ask(server, "ModelInfer", asking("images", "BYTES", [2], bytes_contents=[jpeg, jpeg]))
    label, probability = answer.outputs
    assert label.contents.bytes_contents[0] in {b"cat", b"fish"}
    assert len(label.contents.bytes_contents) == len(probability.contents.fp32_contents) == 2
    assert not answer.raw_output_contents
    typed = asking("pixels", "FP32", pixels.shape, fp32_contents=pixels.ravel().tolist())
    assert [*ask(server, "ModelInfer", typed)[0].outputs[0].shape] == [2]


def test_outputs_and_classes_are_chosen(channel, pixels):
    request = of_pixels(pixels)
    request.outputs.add(name="logits").parameters["classification"].int64_param = 1
    request.outputs.add(name="label")
    answer, _ = ask(channel(return_probabilities=True), "ModelInfer", request)
    best, label = (
        tensors.elements(memoryview(raw), shape=[2], field="") for raw in answer.raw_output_contents
    )
    assert [told.rsplit(b":", 1)[1] for told in best] == label


def test_the_server_and_the_model_describe_themselves(channel):
    server = channel()
    assert ask(server, "ServerLive", pb.ServerLiveRequest())[0].live
    assert ask(server, "ServerReady", pb.ServerReadyRequest())[0].ready
    assert ask(server, "ModelReady", pb.ModelReadyRequest(name="catfish"))[0].ready
    assert ask(server, "ServerMetadata", pb.ServerMetadataRequest())[0].name == "catfish"
    model, _ = ask(server, "ModelMetadata", pb.ModelMetadataRequest(name="catfish"))
    assert [(one.name, one.datatype, [*one.shape]) for one in model.inputs] == [
        ("images", "BYTES", [-1]),
        ("pixels", "FP32", [-1, 3, 32, 32]),
    ]
    assert [one.name for one in model.outputs] == ["label", "probability"]


def test_answers_and_refusals_carry_the_request_and_the_revision(channel):
    server, metadata = channel(), [("x-request-id", "mine-1")]
    _, call = ask(server, "ServerLive", pb.ServerLiveRequest(), metadata=metadata)
    error = refused(server, pb.ModelInferRequest(), grpc.StatusCode.NOT_FOUND, metadata=metadata)
    for told in (call, error):
        headers = dict(told.initial_metadata())
        assert (headers["x-request-id"], headers["x-catfish-revision"]) == ("mine-1", "catfish-0123456789")


@pytest.mark.parametrize(
    ("request_", "code", "beginning"),
    [
        (asking("x", "FP32", [1]), grpc.StatusCode.INVALID_ARGUMENT, "inputs[0].name: "),
        (asking("pixels", "FP32", [33, 3, 32, 32]), grpc.StatusCode.INVALID_ARGUMENT, "inputs[0].shape: "),
        (
            asking("pixels", "FP32", [1, 3, 32, 32]),
            grpc.StatusCode.INVALID_ARGUMENT,
            "inputs[0].contents.fp32_",
        ),
        (
            asking("pixels", "FP32", [1, 3, 32, 32], raw=b"x"),
            grpc.StatusCode.INVALID_ARGUMENT,
            "raw_input_con",
        ),
        (
            asking("images", "BYTES", [1], raw=b"x", bytes_contents=[b"y"]),
            grpc.StatusCode.INVALID_ARGUMENT,
            "inputs[0].c",
        ),
        (
            asking("images", "BYTES", [1], bytes_contents=[b"y"]),
            grpc.StatusCode.INVALID_ARGUMENT,
            "The bytes are none",
        ),
        (pb.ModelInferRequest(model_name="catfish"), grpc.StatusCode.INVALID_ARGUMENT, "inputs: "),
        (
            pb.ModelInferRequest(model_name="catfish", raw_input_contents=[b""]),
            grpc.StatusCode.INVALID_ARGUMENT,
            "raw_",
        ),
        (
            pb.ModelInferRequest(model_name="catfish", model_version="7"),
            grpc.StatusCode.NOT_FOUND,
            "There is no version",
        ),
    ],
)
def test_what_is_wrong_is_named(channel, request_, code, beginning):
    assert beginning in refused(channel(), request_, code).details()


def test_a_message_that_cannot_be_read_is_the_callers_fault_and_no_traceback_of_ours(channel, caplog):
    call = channel().unary_unary(f"{SERVICE}/ModelInfer")
    with pytest.raises(grpc.RpcError) as caught:
        call(b"\xff\xff", timeout=15)
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert not any(record.exc_info for record in caplog.records)


def test_a_message_beyond_the_limit_is_refused(channel):
    request = asking("images", "BYTES", [1], bytes_contents=[b"x" * 200_000])
    refused(channel(max_body_bytes=100_000), request, grpc.StatusCode.RESOURCE_EXHAUSTED)


def test_a_method_that_the_protocol_does_not_have_is_unimplemented(channel):
    with pytest.raises(grpc.RpcError) as caught:
        channel().unary_unary(f"{SERVICE}/ModelStatistics")(b"", timeout=15)
    assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED


def test_a_failure_of_the_server_tells_nothing_but_the_id_under_which_it_is_logged(
    channel, classifier, pixels, monkeypatch, caplog
):
    monkeypatch.setattr(classifier, "infer", lambda _: 1 / 0)
    error = refused(channel(), of_pixels(pixels), grpc.StatusCode.INTERNAL)
    assert "ZeroDivision" not in error.details()
    assert dict(error.initial_metadata())["x-request-id"] in caplog.text


class Held:
    """A classifier whose inferences wait until they are let go."""

    def __init__(self, classifier, monkeypatch):
        self.begun, self.go = threading.Semaphore(0), threading.Event()
        inner = classifier.infer

        def infer(batch):
            self.begun.release()
            assert self.go.wait(30)
            return inner(batch)

        monkeypatch.setattr(classifier, "infer", infer)


@pytest.fixture
def held(classifier, monkeypatch):
    one = Held(classifier, monkeypatch)
    yield one
    one.go.set()


def test_more_calls_than_the_limit_are_refused_at_once(channel, held, pixels, monkeypatch):
    monkeypatch.setattr(remote, "CONCURRENT", 2)
    server = channel()
    with ThreadPoolExecutor(2) as pool:
        slow = [pool.submit(ask, server, "ModelInfer", of_pixels(pixels)) for _ in range(2)]
        for _ in slow:
            assert held.begun.acquire(timeout=15)
        refused(server, of_pixels(pixels), grpc.StatusCode.RESOURCE_EXHAUSTED)
        held.go.set()
        assert [one.result()[0].id for one in slow] == ["n1", "n1"]


def test_a_call_whose_time_is_over_before_its_turn_never_reaches_the_model(
    channel, held, pixels, monkeypatch
):
    monkeypatch.setattr(remote, "THREADS", 1)
    server = channel()
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(ask, server, "ModelInfer", of_pixels(pixels))
        assert held.begun.acquire(timeout=15)
        refused(server, of_pixels(pixels), grpc.StatusCode.DEADLINE_EXCEEDED, timeout=0.3)
        held.go.set()
        first.result()
    ask(server, "ServerLive", pb.ServerLiveRequest())  # the one thread has been past it
    assert not held.begun.acquire(blocking=False)


def test_a_message_that_does_not_come_frees_its_thread(channel, monkeypatch, caplog):
    monkeypatch.setattr(remote, "THREADS", 1)
    monkeypatch.setattr(calls, "MESSAGE_SECONDS", 0.3)
    server, over = channel(), threading.Event()

    def nothing():
        over.wait(30)
        yield from ()

    call = server.stream_unary(f"{SERVICE}/ModelInfer").future(nothing(), timeout=30)
    assert call.code() is grpc.StatusCode.CANCELLED
    ask(server, "ServerLive", pb.ServerLiveRequest())
    over.set()
    assert not any(record.exc_info for record in caplog.records)


def test_a_call_that_waited_too_long_is_refused_and_told_when_to_come_back(channel, pixels, monkeypatch):
    monkeypatch.setattr(calls, "MAX_QUEUED_SECONDS", -1.0)
    error = refused(channel(), of_pixels(pixels), grpc.StatusCode.UNAVAILABLE)
    assert dict(error.trailing_metadata())["grpc-retry-pushback-ms"] == "1000"


def test_a_port_that_is_taken_ends_the_start(channel, classifier):
    from catfish_server.lifecycle import Lifecycle
    from catfish_server.web.server import Server
    from tests.model_server.web.conftest import SETTINGS, replace

    taken = channel().server.server.grpc_port
    server = Server(replace(SETTINGS, grpc_port=taken), Lifecycle())
    with pytest.raises(OSError, match=f"CATFISH_GRPC_PORT: {taken} "):
        server.run(classifier)


def health_of(channel):
    return health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=15).status


def test_a_drain_is_told_at_once_and_answers_what_comes_and_what_is_in_flight(channel, held, pixels):
    server = channel(drain_seconds=1.0)
    running = server.server
    statuses = health_pb2.HealthCheckResponse
    assert health_of(server) == statuses.SERVING
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(ask, server, "ModelInfer", of_pixels(pixels), timeout=30)
        assert held.begun.acquire(timeout=15)
        running.server.stop()
        running.wait_for(lambda: health_of(server) == statuses.NOT_SERVING)
        assert not ask(server, "ServerReady", pb.ServerReadyRequest())[0].ready
        assert ask(server, "ServerLive", pb.ServerLiveRequest())[0].live
        time.sleep(1.5)  # past the drain, with the first call still held
        assert running.thread.is_alive()
        held.go.set()
        assert first.result()[0].id == "n1"
    running.thread.join(timeout=15)
    assert not running.thread.is_alive()


def test_reflection_names_the_services_and_describes_the_protocol(channel):
    database = ProtoReflectionDescriptorDatabase(channel())
    assert set(database.get_services()) == {
        "inference.GRPCInferenceService",
        "grpc.health.v1.Health",
        "grpc.reflection.v1alpha.ServerReflection",
    }
    file = database.FindFileContainingSymbol("inference.GRPCInferenceService")
    methods = ["ServerLive", "ServerReady", "ModelReady", "ServerMetadata", "ModelMetadata", "ModelInfer"]
    assert [method.name for method in file.service[0].method] == methods


def test_calls_are_counted_as_those_of_http_are(channel, pixels, wire):
    server = channel()
    ask(server, "ModelInfer", of_pixels(pixels))
    refused(server, pb.ModelInferRequest(), grpc.StatusCode.NOT_FOUND)
    _, text = wire.get(server.server.admin_address, "/metrics")
    name = f'path="{SERVICE}/ModelInfer"'
    assert f'catfish_requests_total{{code="200",{name}}} 1.0' in text.decode()
    assert f'catfish_requests_total{{code="404",{name}}} 1.0' in text.decode()
    assert "catfish_requests_in_flight 0.0" in text.decode()
