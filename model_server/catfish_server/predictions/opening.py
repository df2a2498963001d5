"""From settings to the log that they ask for."""

import re
import sys
from collections.abc import Callable, Mapping

from prometheus_client import CollectorRegistry

from catfish_server.predictions import destination as destinations
from catfish_server.predictions.destination import Destination
from catfish_server.predictions.log import PredictionLog
from catfish_server.predictions.record import Origin
from catfish_server.predictions.sinks.file import RotatingFile
from catfish_server.predictions.sinks.sink import Sink
from catfish_server.predictions.sinks.stdout import Stdout
from catfish_server.settings import Settings
from catfish_server.telemetry.prediction_log import LogMetrics

_HASH = re.compile(r"-[0-9a-f]{10}$")
"""What a revision's name has after the model's (docs/contract.md)."""


def open_log(
    settings: Settings,
    env: Mapping[str, str],
    *,
    registry: CollectorRegistry,
    weights_sha256: Callable[[], str | None],
) -> PredictionLog | None:
    """The log of a server; None where it keeps none. A sink that is down is no reason not to start.

    Args:
        settings: what to log, and where to.
        env: the environment, for the sink's credentials.
        registry: of the server's metrics.
        weights_sha256: the digest of the weights that are served.

    Raises:
        InvalidSpec: there can be no such log.
    """
    where = destinations.parse(settings.prediction_log_sink, settings.prediction_log_url)
    if where.sink == "none":
        return None
    model = _HASH.sub("", settings.revision) if settings.revision else None
    return PredictionLog(
        _sink(where, settings, env, model=model),
        LogMetrics(registry),
        origin=lambda: Origin(model=model, revision=settings.revision, weights_sha256=weights_sha256()),
        sample_rate=settings.prediction_log_sample_rate,
        include_tensors=settings.prediction_log_include_tensors,
    )


def _sink(where: Destination, settings: Settings, env: Mapping[str, str], *, model: str | None) -> Sink:
    if where.sink == "stdout":
        sys.stdout.flush()
        return Stdout()
    if where.sink == "file":
        return RotatingFile(
            where.path,
            max_bytes=settings.prediction_log_file_bytes,
            files=settings.prediction_log_files,
        )
    from catfish_server.predictions import stores  # noqa: PLC0415 (a client that most servers do not need)

    secrets = stores.credentials(env)
    if where.sink == "kafka":
        from catfish_server.predictions.sinks.kafka import Kafka  # noqa: PLC0415 (as above)

        return Kafka(where, secrets, source=f"/catfish/{model or 'server'}")
    from catfish_server.predictions.sinks.objects import Objects  # noqa: PLC0415 (as above)

    bucket = stores.store(where, endpoint=settings.prediction_log_endpoint, env=secrets)
    return Objects(bucket, prefix=where.prefix)
