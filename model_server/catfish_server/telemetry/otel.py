"""Traces by OpenTelemetry's SDK, sent over OTLP/HTTP; imported by `tracing.start` alone, where it is asked for."""

import logging
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from http import HTTPStatus

from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.trace import SpanKind, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from catfish_server.telemetry.tracing import CLOSE_SECONDS

logger = logging.getLogger(__name__)

# The SDK writes a traceback for every batch that a collector does not take; `_Telling` says it in a line a minute.
logging.getLogger("opentelemetry").setLevel(logging.CRITICAL)

SERVICE = "catfish-server"
_TELL_EVERY_SECONDS = 60.0
_NANOSECONDS = 1_000_000_000


class OpenTelemetry:
    """Spans for a collector; what each method does is said at `tracing.Tracing`.

    Args:
        version: of the server.
        revision: of the model, None on a laptop.
        env: where the service may have another name than `catfish-server`.
    """

    on = True

    def __init__(self, *, version: str, revision: str | None, env: Mapping[str, str]) -> None:
        attributes = {"service.version": version}
        if revision is not None:
            attributes["catfish.revision"] = revision
        if "service.name=" not in env.get("OTEL_RESOURCE_ATTRIBUTES", ""):
            attributes["service.name"] = env.get("OTEL_SERVICE_NAME") or SERVICE
        self._provider = TracerProvider(resource=Resource.create(attributes), shutdown_on_exit=False)
        # Its queue holds 2,048 spans (OTEL_BSP_MAX_QUEUE_SIZE); what finds it full is dropped.
        self._provider.add_span_processor(BatchSpanProcessor(_Telling(OTLPSpanExporter())))
        self._tracer = self._provider.get_tracer("catfish_server", version)
        self._propagator = TraceContextTextMapPropagator()

    @contextmanager
    def request(
        self, method: str, route: str, *, headers: Mapping[str, str], waited_seconds: float
    ) -> Iterator["_Request"]:
        """A span of kind SERVER, in the trace that `traceparent` names."""
        span = self._tracer.start_span(
            f"{method} {route}",
            context=self._propagator.extract(headers),
            kind=SpanKind.SERVER,
            start_time=time.time_ns() - int(waited_seconds * _NANOSECONDS),
            # https://opentelemetry.io/docs/specs/semconv/http/http-spans/
            attributes={"http.request.method": method, "http.route": route},
        )
        with trace.use_span(span, end_on_exit=True, record_exception=False, set_status_on_exception=False):
            yield _Request(span)

    def span(self, name: str) -> AbstractContextManager[object]:
        """A span around the block; an error in it marks the span, and its text stays here."""
        return self._tracer.start_as_current_span(name, record_exception=False, set_status_on_exception=False)

    def passed(self, name: str, *, began: float, seconds: float) -> None:
        """A span with times of the past, brought from the monotonic to the calendar's clock."""
        start = time.time_ns() - int((time.monotonic() - began) * _NANOSECONDS)
        span = self._tracer.start_span(name, start_time=start)
        span.end(end_time=start + int(seconds * _NANOSECONDS))

    def close(self) -> None:
        """Sends what is left. The SDK has no deadline that holds, so it works on a thread that may be left."""
        closing = threading.Thread(target=self._provider.shutdown, name="traces", daemon=True)
        closing.start()
        closing.join(CLOSE_SECONDS)
        if closing.is_alive():
            logger.warning("The last traces could not be sent within %.0f s.", CLOSE_SECONDS)


class _Request:
    """The span of one request."""

    def __init__(self, span: trace.Span) -> None:
        self._span = span

    def answered(self, status: int, request_id: str) -> None:
        """Notes what came of it; a failure of the server marks the span, one of the caller does not."""
        self._span.set_attribute("http.response.status_code", status)
        self._span.set_attribute("catfish.request_id", request_id)
        if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            self._span.set_status(StatusCode.ERROR)


class _Telling(SpanExporter):
    """Says once a minute that spans are lost, in one line."""

    def __init__(self, exporter: SpanExporter) -> None:
        self._exporter = exporter
        self._told_at = -_TELL_EVERY_SECONDS

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        try:
            result = self._exporter.export(spans)
        except Exception:  # noqa: BLE001 (whatever it is, the thread of the queue must go on)
            result = SpanExportResult.FAILURE
        now = time.monotonic()
        if result is not SpanExportResult.SUCCESS and now - self._told_at >= _TELL_EVERY_SECONDS:
            self._told_at = now
            logger.warning("The collector did not take %d spans; they are lost.", len(spans))
        return result

    def shutdown(self) -> None:
        self._exporter.shutdown()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        return self._exporter.force_flush(timeout_millis)
