"""From settings to a server that answers: probes, fetch, load, warm up, verify, serve; or to the reason why not."""

import json
import logging
import os
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, NoReturn

from catfish_server import settings as configuration
from catfish_server.errors import InvalidSpec, NonFiniteWeights, StartupFailure
from catfish_server.lifecycle import Lifecycle, Stage, Weights
from catfish_server.settings import Settings
from catfish_server.weights.sandbox import Sandbox

if TYPE_CHECKING:
    from torch import Tensor

    from catfish_server.inference.classifier import Classifier

logger = logging.getLogger(__name__)

MESSAGE_BYTES = 2048
"""Of the termination message; the kubelet keeps at most 4096, and 12 KiB for all containers of a pod."""


def main(arguments: Sequence[str], env: Mapping[str, str]) -> int:
    """Runs a server until it is told to stop; returns the exit code of docs/contract.md."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _leave)
    try:
        settings = Settings.from_env({**env, **configuration.flags(arguments)})
        logging.basicConfig(
            level=settings.log_level, stream=sys.stderr, format="%(asctime)s %(levelname)s %(message)s"
        )
        serve(settings, env)
    except StartupFailure as failure:
        _report(failure, env)
        return failure.exit_code
    except SystemExit as leaving:
        return leaving.code if isinstance(leaving.code, int) else 0
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
    # Before the first thread; nothing on this path has imported torch yet.
    sandbox = Sandbox(likely=not settings.location.endswith(".safetensors"))
    try:
        from catfish_server.web.server import Server  # noqa: PLC0415 (after the fork: it may start threads)

        lifecycle = Lifecycle()
        server = Server(settings, lifecycle)
        server.start_admin()
        classifier = _classifier(settings, env, lifecycle=lifecycle, sandbox=sandbox)
    finally:
        sandbox.close()
    server.run(classifier)


def _classifier(
    settings: Settings, env: Mapping[str, str], *, lifecycle: Lifecycle, sandbox: Sandbox
) -> "Classifier":
    """The model of the settings: loaded, warm, and right about the golden images."""
    # torch takes seconds to import, and the probes are answered meanwhile.
    from catfish_server.inference.classifier import Classifier  # noqa: PLC0415
    from catfish_server.models import registry  # noqa: PLC0415

    weights = _weights(settings, env, lifecycle=lifecycle, sandbox=sandbox)
    module = registry.build(
        settings.architecture,
        weights,
        classes=settings.classes,
        image_size=settings.image_size,
        head_hidden=settings.head_hidden,
    )
    lifecycle.enter(Stage.WARMING)
    classifier = Classifier(
        module,
        settings.classes,
        image_size=settings.image_size,
        mean=settings.mean,
        std=settings.std,
        unknown_threshold=settings.unknown_threshold,
        threads=settings.threads,
        timeout_seconds=settings.request_timeout_seconds,
    )
    _warm_up(classifier, settings)
    _verify(classifier, settings, lifecycle)
    return classifier


def _weights(
    settings: Settings, env: Mapping[str, str], *, lifecycle: Lifecycle, sandbox: Sandbox
) -> "dict[str, Tensor]":
    """The weights of the settings, fetched and checked."""
    from catfish_server.weights import fetch, load, location  # noqa: PLC0415 - see `_classifier`

    began = time.monotonic()
    where = location.parse(settings.location)
    directory = fetch.private_directory(settings.cache_dir)
    fetched = fetch.fetch(
        where,
        directory=directory,
        sha256=settings.sha256,
        endpoint=settings.weights_endpoint,
        env=env,
        progress=lifecycle.progress,
    )
    try:
        kind = load.identify(fetched.path, location=where)
        seconds = time.monotonic() - began
        lifecycle.fetched(
            Weights(sha256=fetched.sha256, size=fetched.size, format=kind, download_seconds=seconds)
        )
        lifecycle.enter(Stage.LOADING)
        logger.info("Loading %s (%d bytes, sha256 %s).", where.shown, fetched.size, fetched.sha256)
        return load.load(
            fetched,
            kind=kind,
            location=where,
            directory=directory,
            sandbox=sandbox,
            heartbeat=lambda: lifecycle.progress(0),
        )
    finally:
        fetched.discard()


def _warm_up(classifier: "Classifier", settings: Settings) -> None:
    """Asks the classifier once, so that the first caller does not pay for what happens only once."""
    from catfish_server.inference.classifier import NonFiniteOutput  # noqa: PLC0415 - see `_classifier`

    try:
        classifier.warm_up()
    except NonFiniteOutput as error:
        raise NonFiniteWeights(
            "spec.weights.url: the model answers a grey image with NaN or infinity"
        ) from error
    except (RuntimeError, AssertionError, ValueError) as error:
        raise InvalidSpec(
            f"spec.model.imageSize: {settings.architecture} takes no images of {settings.image_size} pixels"
        ) from error


def _verify(classifier: "Classifier", settings: Settings, lifecycle: Lifecycle) -> None:
    """Asks the classifier for the golden images, where the settings name some."""
    from catfish_server.inference import verification  # noqa: PLC0415 - see `_classifier`

    if not settings.verification_samples:
        return
    lifecycle.enter(Stage.VERIFYING)
    score = verification.verify(
        classifier,
        settings.verification_samples,
        directory=settings.verification_dir,
        min_accuracy=settings.verification_min_accuracy,
        max_pixels=settings.max_pixels,
        progress=lifecycle.progress,
    )
    lifecycle.verified(score)
    logger.info("%d of %d golden images were answered right.", score.right, score.total)


def _leave(_number: int, _frame: FrameType | None) -> NoReturn:
    """Told to stop before there was anything to drain: what is open is closed on the way out."""
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
