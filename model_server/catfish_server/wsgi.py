"""The application for another WSGI server: `waitress-serve --call catfish_server.wsgi:create_app`.

Nothing of the package imports it. What such a server lacks is told in docs/server-api.md.
"""

import atexit
import os
from collections.abc import Mapping
from typing import TYPE_CHECKING

from catfish_server import startup
from catfish_server.errors import StartupFailure
from catfish_server.lifecycle import Lifecycle
from catfish_server.settings import Settings, for_stores
from catfish_server.telemetry.metrics import Metrics

if TYPE_CHECKING:
    from flask import Flask


def create_app() -> "Flask":
    """The application for the model that the `CATFISH_` variables describe, loaded, warm and verified.

    Raises:
        SystemExit: there can be no such model; with the sentence that says why.
    """
    try:
        return _app(os.environ)
    except StartupFailure as failure:
        raise SystemExit(f"catfish-server: {failure.reason}: {failure}") from failure


def _app(env: Mapping[str, str]) -> "Flask":
    settings = Settings.from_env(env)
    sandbox = startup.sandbox_for(settings)  # forks: before the first thread
    try:
        from catfish_server.inference import build  # noqa: PLC0415 (after the fork: it may start threads)
        from catfish_server.predictions.opening import open_log  # noqa: PLC0415
        from catfish_server.web.app import create_app as application  # noqa: PLC0415

        env = for_stores(env)
        lifecycle = Lifecycle()
        metrics = Metrics(lifecycle, revision=settings.revision or "")
        log = open_log(
            settings, env, registry=metrics.registry, weights_sha256=lambda: startup.sha256_of(lifecycle)
        )
        if log is not None:
            atexit.register(log.close)
        classifier = build.classifier(settings, env, lifecycle=lifecycle, sandbox=sandbox)
    finally:
        sandbox.close()
    return application(settings, classifier, metrics, log=log)
