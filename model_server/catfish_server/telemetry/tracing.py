"""OpenTelemetry traces, where they are asked for: request > fetch, decode, queue, infer.

Without `OTEL_EXPORTER_OTLP_ENDPOINT` nothing of OpenTelemetry is imported and nothing is done. With it, spans are
handed to a bounded queue and sent by a thread of their own: a collector that is slow or gone costs spans, never
a request. The SDK reads the other variables of OpenTelemetry (`OTEL_SERVICE_NAME`, `OTEL_TRACES_SAMPLER`, …) itself:
https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/.
"""

import logging
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Protocol

logger = logging.getLogger(__name__)

ENDPOINTS = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
CLOSE_SECONDS = 2.0
"""For the last spans when the server leaves; what is not sent by then is lost."""


class RequestSpan(Protocol):
    """The span of a request that is being answered."""

    def answered(self, status: int, request_id: str) -> None: ...  # noqa: D102


class Tracing(Protocol):
    """Takes spans; every method returns at once."""

    @property
    def on(self) -> bool:
        """Whether anything comes of the spans."""

    def request(
        self, method: str, route: str, *, headers: Mapping[str, str], waited_seconds: float
    ) -> AbstractContextManager[RequestSpan]:
        """The span of a request, the parent of all that begin inside the block.

        Args:
            method: one of HTTP's, or of gRPC in full.
            route: the pattern of the path, never what a stranger made up.
            headers: with lower-case names; `traceparent` and `tracestate` are read.
            waited_seconds: how long ago the request had arrived.
        """

    def span(self, name: str) -> AbstractContextManager[object]:
        """A span around the block, under the request of this thread."""

    def passed(self, name: str, *, began: float, seconds: float) -> None:
        """A span that is over already; `began` is a time of the monotonic clock."""

    def close(self) -> None:
        """Sends what is left, for `CLOSE_SECONDS` at most."""


class _Off:
    """No traces."""

    on = False

    def request(
        self,
        method: str,  # noqa: ARG002
        route: str,  # noqa: ARG002
        *,
        headers: Mapping[str, str],  # noqa: ARG002
        waited_seconds: float,  # noqa: ARG002
    ) -> AbstractContextManager[RequestSpan]:
        return nullcontext(self)

    def answered(self, status: int, request_id: str) -> None:
        pass

    def span(self, name: str) -> AbstractContextManager[object]:  # noqa: ARG002
        return nullcontext()

    def passed(self, name: str, *, began: float, seconds: float) -> None:
        pass

    def close(self) -> None:
        pass


OFF: Tracing = _Off()
"""What a server without a collector uses."""


def start(env: Mapping[str, str], *, version: str, revision: str | None) -> Tracing:
    """Traces as the environment asks for them; `OFF` where it does not, or where the packages are missing.

    Call it after every fork: it starts a thread.

    Args:
        env: of the process.
        version: of the server, told as `service.version`.
        revision: of the model, told as `catfish.revision`; None: not told.
    """
    wanted = next((name for name in ENDPOINTS if env.get(name, "").strip()), None)
    if wanted is None or env.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return OFF
    try:
        from catfish_server.telemetry import otel  # noqa: PLC0415 (an extra of the package)
    except ImportError as error:
        logger.warning(
            "No traces: %s is set, but the package %s is missing; install catfish[tracing].",
            wanted,
            error.name,
        )
        return OFF
    tracing = otel.OpenTelemetry(version=version, revision=revision, env=env)
    logger.info("Traces are sent as %s says.", wanted)
    return tracing
