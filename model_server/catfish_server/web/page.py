"""`GET /`: JSON for programs, for people a page to try the model.

The page is one file without anything from elsewhere. Its policy names the only script and the only style that may
run by their hashes, so that nothing else does, whatever a class or an address is called.
"""

import base64
import hashlib
import re
from collections.abc import Callable
from importlib import resources

from flask import Response, jsonify, request

from catfish_server.settings import Settings

HTML = "text/html"
_JSON = "application/json"
_INLINE = {kind: re.compile(rf"<{kind}>(.*?)</{kind}>", re.DOTALL) for kind in ("script", "style")}


def view(settings: Settings) -> Callable[[], Response]:
    """The view function; `*/*`, which curl asks for, gets JSON."""
    text = (resources.files(__package__) / "documents" / "try.html").read_text()
    headers = {
        "Content-Security-Policy": policy(text),
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
        "Cache-Control": "no-cache",
        "Vary": "Accept",
    }
    switches = (
        f'data-probabilities="{_word(settings.return_probabilities)}" '
        f'data-addresses="{_word(settings.image_urls_enabled)}" data-most-bytes="{settings.max_body_bytes}"'
    )
    page = text.replace("<body>", f"<body {switches}>")

    def index() -> Response:
        if request.accept_mimetypes.best_match((_JSON, HTML)) == HTML:
            return Response(page, content_type=f"{HTML}; charset=utf-8", headers=headers)
        response = jsonify(status="ok")
        response.headers["Vary"] = "Accept"
        return response

    return index


def policy(page: str) -> str:
    """The Content-Security-Policy of a page: its own inline script and style, its own server, chosen images."""
    hashes = {
        kind: " ".join(_hash(inline) for inline in pattern.findall(page)) for kind, pattern in _INLINE.items()
    }
    return (
        f"default-src 'none'; script-src {hashes['script']}; style-src {hashes['style']}; img-src blob: data:; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )


def _hash(inline: str) -> str:
    digest = hashlib.sha256(inline.encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"


def _word(switch: bool) -> str:
    return str(switch).lower()
