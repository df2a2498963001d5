"""`POST /feedback`: what was the right answer to an earlier prediction."""

import re

from flask import Request, Response, jsonify

from catfish_server.calls import Caller
from catfish_server.service import Service
from catfish_server.web import requests
from catfish_server.web.requests import BadRequest, UnsupportedBody

_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_FIELDS = frozenset({"uuid", "label"})


def answer(request: Request, service: Service, *, caller: Caller) -> Response:
    """The answer to one request: 202 where the feedback is taken, 200 where its prediction is not logged anyway.

    Raises:
        RequestError: it names no prediction or no class of the model, or there is no log.
    """
    uuid, label = _parse(request, max_brackets=service.settings.max_json_brackets)
    logged = service.journal.feedback(uuid, label, caller=caller)
    response = jsonify(uuid=uuid, label=label, logged=logged)
    response.status_code = 202 if logged else 200
    return response


def _parse(request: Request, *, max_brackets: int) -> tuple[str, str]:
    if request.mimetype != "application/json":
        raise UnsupportedBody("Send feedback as application/json.", field="Content-Type")
    document = requests.document_of(request.get_data(cache=False), max_brackets=max_brackets)
    if unknown := sorted(document.keys() - _FIELDS):
        raise BadRequest("The field is not known here.", field=unknown[0][:64])
    uuid = _text(document, "uuid").lower()
    if not _UUID.fullmatch(uuid):
        raise BadRequest("The field must be the uuid of an answer.", field="uuid")
    return uuid, _text(document, "label")


def _text(document: dict[str, object], name: str) -> str:
    value = document.get(name)
    if not isinstance(value, str) or not value:
        raise BadRequest("The field is required, as a string.", field=name)
    return value
