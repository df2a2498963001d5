"""Errors as callers see them: problem details of RFC 9457, from application and HTTP parser alike."""

import json
import re
from http.client import responses

from catfish_server.telemetry.ids import request_id

__all__ = ["CONTENT_TYPE", "body", "problem_type", "request_id"]

CONTENT_TYPE = "application/problem+json"


def body(*, status: int, title: str, detail: str, request_id: str, field: str | None = None) -> bytes:
    """The JSON of one problem.

    Args:
        status: of HTTP.
        title: the same for every problem of its kind; also names the kind in `type`.
        detail: one sentence on this one; nothing of the inside of the server.
        request_id: as sent back in `X-Request-Id`.
        field: the part of the request that is to blame.
    """
    problem = {
        "type": problem_type(status, title),
        "title": title,
        "status": status,
        "detail": detail,
        "request_id": request_id,
    }
    if field is not None:
        problem["field"] = field
    return json.dumps(problem).encode() + b"\n"


def problem_type(status: int, title: str) -> str:
    """A URI for the kind of problem; `about:blank` where the status says it all."""
    if title == responses.get(status):  # 499 is nobody's but nginx's, and not among them
        return "about:blank"
    slug = re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")
    return f"tag:catfish.dev,2026:{slug}"
