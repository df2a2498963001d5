"""From settings to a server that answers, or to the reason why there is none."""

import json
import logging
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import FrameType
from typing import NoReturn

from catfish_server import settings as configuration
from catfish_server.errors import StartupFailure
from catfish_server.lifecycle import Lifecycle
from catfish_server.settings import Settings
from catfish_server.telemetry import metrics, tracing
from catfish_server.weights import formats
from catfish_server.weights.sandbox import Sandbox

logger = logging.getLogger(__name__)

MESSAGE_BYTES = 2048
"""Of the termination message; the kubelet keeps at most 4096, and 12 KiB for all containers of a pod."""

LEAVE_SECONDS = 5
"""For a server that is told to stop before it serves: to remove what it has fetched."""


def main(arguments: Sequence[str], env: Mapping[str, str]) -> int:
    """Runs a server until it is told to stop; returns the exit code of docs/contract.md."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _leave)
    try:
        return _run(arguments, env)
    except SystemExit as leaving:
        return leaving.code if isinstance(leaving.code, int) else 0


def _run(arguments: Sequence[str], env: Mapping[str, str]) -> int:
    try:
        settings = Settings.from_env({**env, **configuration.flags(arguments)})
        logging.basicConfig(
            level=settings.log_level, stream=sys.stderr, format="%(asctime)s %(levelname)s %(message)s"
        )
        serve(settings, env)
    except StartupFailure as failure:
        _report(failure, env)
        return failure.exit_code
    except Exception as error:
        logger.debug("The traceback of what ended the server:", exc_info=True)
        print(f"catfish-server: unexpected {type(error).__name__}: {error}", file=sys.stderr)  # noqa: T201
        return 1
    return 0


def serve(settings: Settings, env: Mapping[str, str]) -> None:
    """Starts a server with these settings and returns when it has drained.

    Raises:
        StartupFailure: it cannot start with them.
    """
    sandbox = sandbox_for(settings)
    try:
        from catfish_server.predictions.opening import open_log  # noqa: PLC0415 (as below)
        from catfish_server.web.server import Server  # noqa: PLC0415 (after the fork: it may start threads)

        lifecycle = Lifecycle()
        traces = tracing.start(env, version=metrics.build_version(), revision=settings.revision)
        server = Server(settings, lifecycle, tracing=traces)
        server.start_admin()
        secrets = configuration.for_stores(env)
        log = open_log(  # before the weights: a log that cannot be is told of at once
            settings,
            secrets,
            registry=server.metrics.registry,
            weights_sha256=lambda: sha256_of(lifecycle),
        )

        # What it imports takes its time (torch: seconds), and the probes are answered meanwhile.
        from catfish_server.inference import build  # noqa: PLC0415

        classifier = build.classifier(
            settings, secrets, lifecycle=lifecycle, sandbox=sandbox, tried=server.metrics.tried
        )
    finally:
        sandbox.close()
    server.run(classifier, log=log)


def sandbox_for(settings: Settings) -> Sandbox:
    """Where the weights are read if they are a pickle; before the first thread, and before torch is imported."""
    pickle = settings.architecture not in formats.PROGRAMS and not settings.location.endswith(".safetensors")
    return Sandbox(likely=pickle)


def sha256_of(lifecycle: Lifecycle) -> str | None:
    """The digest of the weights as hexadecimal digits, None until they are here."""
    weights = lifecycle.snapshot().weights
    return weights.sha256 if weights else None


def _leave(_number: int, _frame: FrameType | None) -> NoReturn:
    """Told to stop before there was anything to drain: what is open is closed on the way out.

    A second signal would end the closing, so it is ignored. What is being imported may swallow the exception, and then
    the alarm ends the process.
    """
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)
    signal.signal(signal.SIGALRM, lambda *_: os._exit(0))
    signal.alarm(LEAVE_SECONDS)
    raise SystemExit(0)


def _report(failure: StartupFailure, env: Mapping[str, str]) -> None:
    """Tells the operator and the log why there is no server."""
    message = _termination_message(failure)
    print(f"catfish-server: {failure.reason}: {failure}", file=sys.stderr)  # noqa: T201 (no logging yet)
    path = Path(env.get("CATFISH_TERMINATION_LOG") or "/dev/termination-log")
    try:
        # The kubelet has made the file; where there is none, nobody will read it.
        descriptor = os.open(path, os.O_WRONLY | os.O_TRUNC)
        with os.fdopen(descriptor, "wb") as file:
            file.write(message)
    except OSError as error:
        logger.debug("No termination message: %s", error)


def _termination_message(failure: StartupFailure) -> bytes:
    """The JSON object of docs/contract.md; too long a text loses its end, not the object its shape."""
    text = str(failure)
    while True:
        fields = {"reason": failure.reason, "message": text, "retriable": failure.retriable}
        encoded = json.dumps(fields, ensure_ascii=False).encode(errors="replace")
        if len(encoded) <= MESSAGE_BYTES:
            return encoded
        text = text[: len(text) - max(1, (len(encoded) - MESSAGE_BYTES) // 4) - 1] + "…"
