"""A span around every request that reaches the application."""

from collections.abc import Callable, Iterable
from http import HTTPMethod
from typing import TYPE_CHECKING, Any

from flask import Flask
from werkzeug.exceptions import HTTPException

from catfish_server.telemetry.tracing import Tracing
from catfish_server.web.channel import QUEUED_SECONDS

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

_HEADERS = ("traceparent", "tracestate")
_METHODS = frozenset(HTTPMethod)


class Traced:
    """WSGI middleware between the server and an application.

    Args:
        app: whose routes name the spans.
        tracing: takes them.
    """

    def __init__(self, app: Flask, tracing: Tracing) -> None:
        self._application: WSGIApplication = app.wsgi_app
        self._routes = app.url_map.bind("")
        self._tracing = tracing

    def __call__(self, environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        """Answers the request inside its span."""
        method = environ["REQUEST_METHOD"] if environ["REQUEST_METHOD"] in _METHODS else "other"
        headers = {name: environ[key] for name in _HEADERS if (key := f"HTTP_{name.upper()}") in environ}
        waited = environ.get(QUEUED_SECONDS, 0.0)
        route = self._route(environ)
        with self._tracing.request(method, route, headers=headers, waited_seconds=waited) as span:

            def started(status: str, names: list[tuple[str, str]], *error: Any) -> Callable[[bytes], object]:  # noqa: ANN401
                span.answered(int(status[:3]), dict(names).get("X-Request-Id", ""))
                return start_response(status, names, *error)

            return self._application(environ, started)

    def _route(self, environ: "WSGIEnvironment") -> str:
        try:
            rule, _ = self._routes.match(environ["PATH_INFO"], environ["REQUEST_METHOD"], return_rule=True)
        except HTTPException:  # no such path or method, or a redirect
            return "other"
        return str(rule.rule)
