"""The Open Inference Protocol by HTTP, as a blueprint: everything under `/v2`.

Errors are raised as everywhere else, so that they are counted and logged like all others; on their way out they
take the form of this protocol.
"""

import json
from collections.abc import Callable

from flask import Blueprint, Response, jsonify, request

from catfish_server import waiting
from catfish_server.calls import Caller
from catfish_server.protocol import body
from catfish_server.protocol.errors import UnsupportedEncoding, sentence
from catfish_server.protocol.model import EXTENSIONS, OpenModel
from catfish_server.protocol.tensors import Declared
from catfish_server.telemetry.metrics import build_version

ROOT = "/v2"
HEADER_LENGTH = "Inference-Header-Content-Length"
_PROBLEM = "application/problem+json"


def blueprint(
    model: OpenModel, *, caller: Callable[[], Caller], call: Callable[[], waiting.Call]
) -> Blueprint:
    """The routes.

    Args:
        model: answers for all of them.
        caller: who asks; called within a request.
        call: how long the request may wait; called within it, too.
    """
    views = _Views(model, caller, call)
    routes = Blueprint("open_inference", __name__, url_prefix=ROOT)
    routes.add_url_rule("", "server", views.server)
    routes.add_url_rule("/health/live", "live", views.live)
    routes.add_url_rule("/health/ready", "ready", views.ready)
    for prefix, name in (("/models/<name>", "model"), ("/models/<name>/versions/<version>", "version")):
        routes.add_url_rule(prefix, name, views.metadata)
        routes.add_url_rule(f"{prefix}/ready", f"{name}_ready", views.model_ready)
        routes.add_url_rule(f"{prefix}/infer", f"{name}_infer", views.infer, methods=["POST"])
    routes.after_app_request(_translated)
    return routes


class _Views:
    """What the paths answer."""

    def __init__(
        self, model: OpenModel, caller: Callable[[], Caller], call: Callable[[], waiting.Call]
    ) -> None:
        self._model = model
        self._caller = caller
        self._call = call

    def server(self) -> Response:
        return jsonify(name="catfish", version=build_version(), extensions=list(EXTENSIONS))

    def live(self) -> Response:
        return jsonify(live=True)

    def ready(self) -> Response:
        ready = self._model.ready()
        response = jsonify(ready=ready)
        response.status_code = 200 if ready else 503
        return response

    def metadata(self, name: str, version: str = "") -> Response:
        self._model.require(name, version)
        return jsonify(
            name=self._model.name,
            versions=[self._model.version],
            platform=self._model.platform,
            inputs=[_described(item) for item in self._model.inputs],
            outputs=[_described(item) for item in self._model.outputs],
            parameters=self._model.runtime,
        )

    def model_ready(self, name: str, version: str = "") -> Response:
        self._model.require(name, version)
        ready = self._model.ready()
        response = jsonify(name=name, ready=ready)
        response.status_code = 200 if ready else 503
        return response

    def infer(self, name: str, version: str = "") -> Response:
        self._model.require(name, version)
        if request.headers.get("Content-Encoding", "identity") != "identity":
            raise UnsupportedEncoding("Send the body as it is, not compressed.", field="Content-Encoding")
        with waiting.within(self._call()):
            asked = body.parse(
                request.get_data(cache=False), request.headers.get(HEADER_LENGTH), model=self._model
            )
            outputs = self._model.infer(asked.inputs, asked.outputs, caller=self._caller())
        data, head = body.render(asked, outputs, model=self._model)
        if head is None:
            return Response(data, content_type="application/json")
        return Response(data, content_type="application/octet-stream", headers={HEADER_LENGTH: str(head)})


def _described(tensor: Declared) -> dict[str, object]:
    return {"name": tensor.name, "datatype": tensor.datatype, "shape": list(tensor.shape)}


def _translated(response: Response) -> Response:
    """A problem of RFC 9457 becomes the error of this protocol, where it is the answer to one of its paths."""
    if response.content_type == _PROBLEM and (request.path == ROOT or request.path.startswith(f"{ROOT}/")):
        problem = json.loads(response.get_data())
        text = sentence(problem["detail"], problem.get("field"))
        response.set_data(json.dumps({"error": text}).encode())
        response.content_type = "application/json"
    return response
