"""What a request and its answer amounted to, read off waitress' task when it is done."""

import time
from http import HTTPMethod
from typing import Any

from catfish_server.telemetry.access import Entry

_METHODS = frozenset(HTTPMethod)


def entry(task: Any) -> Entry:  # noqa: ANN401 (waitress ships no types)
    """The entry of the access log for a task that has written its header."""
    request = task.request
    read = not request.stood_in
    return Entry(
        method=_method(getattr(request, "command", None)) if read else None,
        path=(request.path or None) if read else None,
        status=int(task.status.split()[0]),
        bytes_in=request.body_bytes_received,
        bytes_out=task.content_bytes_written,
        seconds=time.monotonic() - task.channel.queued_at,
        request_id=dict(task.response_headers).get("X-Request-Id", ""),
        protocol=f"HTTP/{task.version}",
    )


def _method(command: str | None) -> str | None:
    return command if command is None or command in _METHODS else "other"
