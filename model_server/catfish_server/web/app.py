"""The HTTP API as a WSGI application: the book's routes, feedback, and the Open Inference Protocol under `/v2`.

It works under any WSGI server; what makes it survive strangers and SIGTERM is in `web.server`.
"""

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from http import HTTPStatus

from flask import Flask, Response, g, jsonify, request
from werkzeug.exceptions import HTTPException

from catfish_server import waiting
from catfish_server.calls import Answer, Caller, Encoded
from catfish_server.errors import Overloaded, RequestError
from catfish_server.images.source import FetchFailed, ImageSource, ImageTooLarge
from catfish_server.inference.classifier import Classifies
from catfish_server.predictions.log import PredictionLog
from catfish_server.protocol import rest
from catfish_server.protocol.model import OpenModel
from catfish_server.service import Service
from catfish_server.settings import Settings
from catfish_server.telemetry.ids import printable
from catfish_server.telemetry.metrics import Metrics
from catfish_server.telemetry.tracing import OFF, Tracing
from catfish_server.web import feedback, openapi, page, problems, requests
from catfish_server.web.channel import QUEUED_SECONDS
from catfish_server.web.requests import Item
from catfish_server.web.traced import Traced

logger = logging.getLogger(__name__)

MAX_QUEUED_SECONDS = 2.0

FETCHING_SECONDS = 15.0
"""After which no other image of a call is fetched; the last one has 5 s of its own."""


@dataclass(frozen=True, kw_only=True)
class _Predictor:
    """Answers one `/predict`."""

    service: Service

    def __call__(self) -> Response:
        settings = self.service.settings
        asked = requests.parse(
            request, max_images=settings.max_images, max_brackets=settings.max_json_brackets
        )
        if asked.probabilities:
            self.service.require_probabilities()
        with waiting.within(g.call):
            images = self._images(asked.items)
            answers = self.service.classify(images, caller=_caller(settings))
        with_uuid = self.service.journal.log is not None
        told = [_answer(answer, with_all=asked.probabilities, with_uuid=with_uuid) for answer in answers]
        self.service.metrics.staged("total", time.monotonic() - g.call.arrived)
        return jsonify(predictions=told) if asked.many else jsonify(told[0])

    def _images(self, items: Sequence[Item]) -> list[Encoded]:
        """The images, fetched one after the other: a call takes one of the few fetches at a time.

        All of them together may have as many bytes as a body that brings its images along.
        """
        limit, seconds = self.service.settings.max_body_bytes, waiting.left(FETCHING_SECONDS)
        until = time.monotonic() + seconds
        images: list[Encoded] = []
        fetched = 0
        for item in items:
            if item.url is None:
                images.append(Encoded.of(item.data or b"", field=item.field))
                continue
            if time.monotonic() > until:
                raise FetchFailed(f"The images did not arrive within {seconds:.3g} s.", field=item.field)
            images.append(self.service.fetch(item.url, field=item.field))
            fetched += len(images[-1].data)
            if len(items) > 1 and fetched > limit:
                raise ImageTooLarge(f"The images are more than {limit} bytes together.", field=item.field)
        return images


def create_app(
    settings: Settings,
    classifier: Classifies,
    metrics: Metrics,
    *,
    source: ImageSource | None = None,
    open_model: OpenModel | None = None,
    log: PredictionLog | None = None,
    tracing: Tracing = OFF,
) -> Flask:
    """The application for one classifier.

    Args:
        settings: limits and switches.
        classifier: warmed up.
        metrics: counts what is answered.
        source: fetches image URLs; None: as the settings say.
        open_model: answers `/v2`, and its service everything; None: one that is always ready.
        log: told of every prediction and feedback; None: none is kept.
        tracing: is told the stages of each request.
    """
    app = Flask("catfish", static_folder=None)
    app.config.update(
        MAX_CONTENT_LENGTH=settings.max_body_bytes,
        MAX_FORM_MEMORY_SIZE=settings.max_body_bytes,
        MAX_FORM_PARTS=settings.max_images + requests.MAX_FORM_FIELDS,
    )
    if open_model is None:
        made = Service(settings, classifier, metrics, source=source, log=log, tracing=tracing)
        open_model = OpenModel(made, ready=lambda: True)
    service = open_model.service
    names = {"model_name": open_model.name, "model_version": open_model.version}
    app.add_url_rule("/", "index", page.view(settings), methods=["GET"])
    app.add_url_rule("/predict", "predict", _Predictor(service=service), methods=["GET", "POST"])
    app.add_url_rule(
        "/feedback",
        "feedback",
        lambda: feedback.answer(request, service, caller=_caller(settings)),
        methods=["POST"],
    )
    told = replace(settings, max_images=min(settings.max_images, service.classifier.max_images))
    app.add_url_rule("/openapi.json", "openapi", openapi.view(app, told, only=names), methods=["GET"])
    app.register_blueprint(rest.blueprint(open_model, caller=lambda: _caller(settings), call=lambda: g.call))
    _observe(app, settings, metrics)
    _explain_errors(app, metrics)
    if tracing.on:
        app.wsgi_app = Traced(app, tracing)  # type: ignore[method-assign]  # Flask's documented way
    return app


def _caller(settings: Settings) -> Caller:
    """Who asks: the request's id, and the user as the header says that the settings name."""
    user = request.headers.get(settings.user_header, "") if settings.user_header else ""
    return Caller(request_id=g.request_id, user=printable(user) or None)


def _answer(made: Answer, *, with_all: bool, with_uuid: bool) -> dict[str, object]:
    prediction = made.prediction
    answer: dict[str, object] = {
        "image": made.name,
        "prediction": prediction.label,
        "probability": round(prediction.probability, 6),
    }
    if with_uuid:
        answer["uuid"] = made.uuid
    if with_all:
        answer["probabilities"] = {name: round(p, 6) for name, p in prediction.probabilities.items()}
    return answer


def _observe(app: Flask, settings: Settings, metrics: Metrics) -> None:
    """Request ids, the revision's header and the counters, for every request and whatever comes of it."""

    @app.before_request
    def started() -> None:
        g.request_id = problems.request_id(request.headers.get("X-Request-Id"))
        g.counted = True
        metrics.started()
        waited = request.environ.get(QUEUED_SECONDS, 0.0)
        g.call = waiting.Call(
            arrived=time.monotonic() - waited,
            seconds=settings.request_timeout_seconds,
            gone=request.environ.get(waiting.CLIENT_GONE),
        )
        if waited > MAX_QUEUED_SECONDS:
            raise Overloaded("More requests came than can be answered in time.", reason="threads")

    @app.after_request
    def answered(response: Response) -> Response:
        response.headers["X-Request-Id"] = g.request_id
        if settings.revision:
            response.headers["X-Catfish-Revision"] = settings.revision
        metrics.answered(request.path, response.status_code)
        return response

    @app.teardown_request
    def finished(_: BaseException | None) -> None:
        if g.pop("counted", False):
            metrics.finished()


def _explain_errors(app: Flask, metrics: Metrics) -> None:
    """Every error becomes problem JSON and one line of the log."""

    @app.errorhandler(RequestError)
    def refused(error: RequestError) -> Response:
        response = _problem(error.status, error.title, error.detail, error.field)
        if isinstance(error, Overloaded):
            metrics.rejected(error.reason)
            response.headers["Retry-After"] = str(error.retry_after_seconds)
        return response

    @app.errorhandler(HTTPException)
    def refused_by_flask(error: HTTPException) -> Response:
        status = error.code or HTTPStatus.INTERNAL_SERVER_ERROR
        response = _problem(status, HTTPStatus(status).phrase, _DETAILS.get(status, ""), None)
        for name, value in error.get_headers():
            if name in {"Allow", "Retry-After"}:
                response.headers[name] = value
        return response

    @app.errorhandler(Exception)
    def failed(error: Exception) -> Response:
        what = (str(error).splitlines() or [""])[0][:200]
        logger.error("Request %s failed: %s: %s", g.request_id, type(error).__name__, what)
        logger.debug("The traceback of request %s:", g.request_id, exc_info=error)
        detail = "The server failed; its log knows the request by its id."
        return _problem(500, HTTPStatus(500).phrase, detail, None)


_DETAILS = {
    400: "The request is not understood.",
    404: "There is nothing here; GET /openapi.json says what there is.",
    405: "The method is not allowed here.",
    411: "The request has a body without a length.",
    413: "The body is larger than the limit.",
    415: "The type of the body is not supported.",
}


def _problem(status: int, title: str, detail: str, field: str | None) -> Response:
    detail = detail or f"{HTTPStatus(status).phrase}."
    if status != HTTPStatus.INTERNAL_SERVER_ERROR:  # that has its line already
        logger.info("Request %s answered %d: %s", g.request_id, status, detail)
    body = problems.body(status=status, title=title, detail=detail, request_id=g.request_id, field=field)
    return Response(body, status, content_type=problems.CONTENT_TYPE, headers={"Cache-Control": "no-store"})
