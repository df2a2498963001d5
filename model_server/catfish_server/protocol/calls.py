"""The Open Inference Protocol's gRPC service: one call after the other, from its bytes to its status.

gRPC asks `Calls.service` on its own thread as soon as a call arrives, and runs what it returns on one of the pool;
the time between is what the call has waited.
"""

import logging
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from math import inf
from typing import Any

import grpc
from google.protobuf.message import DecodeError, Message

from catfish_server import waiting
from catfish_server.calls import Caller
from catfish_server.errors import Overloaded, RequestError
from catfish_server.protocol import incoming, messages, wire
from catfish_server.protocol.errors import BadInference, sentence
from catfish_server.protocol.generated import open_inference_pb2 as pb
from catfish_server.protocol.model import EXTENSIONS, OpenModel
from catfish_server.telemetry.access import Entry
from catfish_server.telemetry.ids import printable, request_id
from catfish_server.telemetry.metrics import Metrics, build_version
from catfish_server.telemetry.tracing import OFF, Tracing

logger = logging.getLogger(__name__)

SERVICE = "inference.GRPCInferenceService"
MAX_QUEUED_SECONDS = 2.0
"""That a call may have waited for a thread; as for HTTP."""

MESSAGE_SECONDS = 30.0
"""In which the message of a call must have come, or in the longest request's where that is less: a thread waits."""

CODES: Mapping[int, grpc.StatusCode] = {
    HTTPStatus.BAD_REQUEST: grpc.StatusCode.INVALID_ARGUMENT,
    HTTPStatus.FORBIDDEN: grpc.StatusCode.PERMISSION_DENIED,
    HTTPStatus.NOT_FOUND: grpc.StatusCode.NOT_FOUND,
    HTTPStatus.REQUEST_TIMEOUT: grpc.StatusCode.CANCELLED,
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: grpc.StatusCode.INVALID_ARGUMENT,
    HTTPStatus.UNSUPPORTED_MEDIA_TYPE: grpc.StatusCode.INVALID_ARGUMENT,
    HTTPStatus.UNPROCESSABLE_ENTITY: grpc.StatusCode.INVALID_ARGUMENT,
    waiting.ClientGone.status: grpc.StatusCode.CANCELLED,
    HTTPStatus.SERVICE_UNAVAILABLE: grpc.StatusCode.UNAVAILABLE,
}
"""What a status of HTTP is called here; any other is INTERNAL."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Method:
    """One method of the service."""

    request: type[Message]
    answer: Callable[[Any, Caller], Message]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Call:
    """One call, as it arrived."""

    path: str
    method: _Method
    caller: Caller
    headers: Mapping[str, str]
    arrived: float


class Calls(grpc.GenericRpcHandler):
    """The service, as gRPC's server wants it.

    Args:
        model: answers.
        metrics: counts the calls; their statuses are those that HTTP would have.
        revision: sent back with every answer; None: not.
        user_header: whose value tells who asks; None: nobody is told apart.
        tracing: takes a span of each call.
        exchanged: told of each call and its answer.
        clock: a monotonic clock in seconds.
    """

    def __init__(
        self,
        model: OpenModel,
        metrics: Metrics,
        *,
        revision: str | None,
        user_header: str | None = None,
        tracing: Tracing = OFF,
        exchanged: Callable[[Entry], None] = lambda _: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._model = model
        self._metrics = metrics
        self._revision = revision
        self._user_header = (user_header or "").lower()
        self._tracing = tracing
        self._exchanged = exchanged
        self._clock = clock
        self._methods = {
            f"/{SERVICE}/ServerLive": _Method(request=pb.ServerLiveRequest, answer=self._live),
            f"/{SERVICE}/ServerReady": _Method(request=pb.ServerReadyRequest, answer=self._ready),
            f"/{SERVICE}/ServerMetadata": _Method(request=pb.ServerMetadataRequest, answer=self._server),
            f"/{SERVICE}/ModelReady": _Method(request=pb.ModelReadyRequest, answer=self._model_ready),
            f"/{SERVICE}/ModelMetadata": _Method(request=pb.ModelMetadataRequest, answer=self._metadata),
            f"/{SERVICE}/ModelInfer": _Method(request=pb.ModelInferRequest, answer=self._infer),
        }

    def service(
        self, handler_call_details: grpc.HandlerCallDetails
    ) -> "grpc.RpcMethodHandler[Any, Any] | None":
        """How a call is answered; None for a method that is not of this service."""
        path = handler_call_details.method
        method = self._methods.get(path)
        if method is None:
            return None
        sent = dict(handler_call_details.invocation_metadata or ())
        headers = {name: value for name, value in sent.items() if isinstance(value, str)}
        user = printable(headers.get(self._user_header, "")) if self._user_header else None
        caller = Caller(request_id=request_id(headers.get("x-request-id")), user=user or None)
        call = _Call(path=path, method=method, caller=caller, headers=headers, arrived=self._clock())
        # A stream of bytes, of which one message is read, is the same on the wire as that message. gRPC would wait
        # for it without an end, and a deserializer that fails would be a traceback in the log.
        return grpc.stream_unary_rpc_method_handler(lambda sent, context: self._handle(call, sent, context))

    def _handle(self, call: _Call, sent: Iterator[bytes], context: grpc.ServicerContext) -> bytes:
        caller = call.caller
        headers: list[tuple[str, str | bytes]] = [("x-request-id", caller.request_id)]
        if self._revision:
            headers.append(("x-catfish-revision", self._revision))
        context.send_initial_metadata(tuple(headers))
        self._metrics.started()
        status, message, answer = HTTPStatus.INTERNAL_SERVER_ERROR.value, b"", b""
        began, waited = self._clock(), self._clock() - call.arrived
        route = call.path.removeprefix("/")
        span = self._tracing.request(route, route, headers=call.headers, waited_seconds=waited)
        try:
            with span as traced:
                self._check_time(context, call.arrived)
                message = incoming.first(sent, context, seconds=min(MESSAGE_SECONDS, self._longest))
                with waiting.within(self._patience(call, context, uploading=self._clock() - began)):
                    request = _parsed(call.method.request, message, max_images=self._model.max_images)
                    answer = call.method.answer(request, caller).SerializeToString()
                status = HTTPStatus.OK.value
                traced.answered(status, caller.request_id)
        except RequestError as error:
            status = error.status
            self._refuse(context, error, caller)
        except Exception as error:
            what = (str(error).splitlines() or [""])[0][:200]
            logger.error("Request %s failed: %s: %s", caller.request_id, type(error).__name__, what)  # noqa: TRY400
            logger.debug("The traceback of request %s:", caller.request_id, exc_info=error)
            context.set_code(grpc.StatusCode.INTERNAL)
            context.set_details("The server failed; its log knows the request by its id.")
        finally:
            self._over(call, status, bytes_in=len(message), bytes_out=len(answer), began=began)
        return answer

    @property
    def _longest(self) -> float:
        """Seconds that the longest request may take."""
        return self._model.service.settings.request_timeout_seconds

    def _patience(self, call: _Call, context: grpc.ServicerContext, *, uploading: float) -> waiting.Call:
        """How long a call may wait: as long as any, not counting the seconds of its upload, or as its client says."""
        left, arrived = context.time_remaining(), call.arrived + uploading
        return waiting.Call(
            arrived=arrived,
            seconds=self._longest,
            client_seconds=inf if left is None else self._clock() - arrived + left,
            gone=lambda: not context.is_active(),
        )

    def _over(self, call: _Call, status: int, *, bytes_in: int, bytes_out: int, began: float) -> None:
        """Tells of a call that has its answer."""
        self._metrics.answered(call.path, status)
        self._metrics.finished()
        self._exchanged(
            Entry(
                method="POST",
                path=call.path,
                status=status,
                bytes_in=bytes_in,
                bytes_out=bytes_out,
                seconds=self._clock() - began,
                request_id=call.caller.request_id,
                protocol="grpc",
            )
        )

    def _check_time(self, context: grpc.ServicerContext, arrived: float) -> None:
        """A call that nobody waits for any more, or that has waited too long, takes no time from the others."""
        left = context.time_remaining()
        if left is not None and left <= 0:
            raise waiting.NoTimeGiven("The deadline passed before the call had its turn.")
        if not context.is_active():
            raise waiting.ClientGone("The client has left.")
        if self._clock() - arrived > MAX_QUEUED_SECONDS:
            raise Overloaded("More requests came than can be answered in time.", reason="threads")

    def _refuse(self, context: grpc.ServicerContext, error: RequestError, caller: Caller) -> None:
        if isinstance(error, Overloaded):
            self._metrics.rejected(error.reason)
            # https://github.com/grpc/proposal/blob/master/A6-client-retries.md, "Pushback"
            context.set_trailing_metadata(
                (("grpc-retry-pushback-ms", str(1000 * error.retry_after_seconds)),)
            )
        logger.info("Request %s answered %d: %s", caller.request_id, error.status, error.detail)
        code = CODES.get(error.status, grpc.StatusCode.INTERNAL)
        if isinstance(error, waiting.NoTimeGiven):  # the answer may overtake the client's own clock
            code = grpc.StatusCode.DEADLINE_EXCEEDED
        context.set_code(code)
        context.set_details(sentence(error.detail, error.field))

    def _live(self, _request: pb.ServerLiveRequest, _caller: Caller) -> Message:
        return pb.ServerLiveResponse(live=True)

    def _ready(self, _request: pb.ServerReadyRequest, _caller: Caller) -> Message:
        return pb.ServerReadyResponse(ready=self._model.ready())

    def _server(self, _request: pb.ServerMetadataRequest, _caller: Caller) -> Message:
        return pb.ServerMetadataResponse(name="catfish", version=build_version(), extensions=EXTENSIONS)

    def _model_ready(self, request: pb.ModelReadyRequest, _caller: Caller) -> Message:
        self._model.require(request.name, request.version)
        return pb.ModelReadyResponse(ready=self._model.ready())

    def _metadata(self, request: pb.ModelMetadataRequest, _caller: Caller) -> Message:
        self._model.require(request.name, request.version)
        return messages.metadata(self._model)

    def _infer(self, request: pb.ModelInferRequest, caller: Caller) -> Message:
        self._model.require(request.model_name, request.model_version)
        wanted = messages.wanted(request)
        outputs = self._model.infer(messages.inputs(request, self._model), wanted, caller=caller)
        return messages.answer(request, outputs, self._model)


def _parsed(kind: type[Message], data: bytes, *, max_images: int) -> Message:
    # protobuf has two classes of descriptors, which are alike.
    wire.require_few(data, kind.DESCRIPTOR, max_images=max_images)  # type: ignore[arg-type]  # see above
    try:
        return kind.FromString(data)
    except DecodeError as error:
        raise BadInference("The message cannot be read.") from error
