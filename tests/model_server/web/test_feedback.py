import base64
import json
import uuid

import numpy as np
import pytest
from prometheus_client import CollectorRegistry

from catfish_server.calls import Caller
from catfish_server.journal import Journal
from catfish_server.lifecycle import Lifecycle
from catfish_server.predictions.buffer import Limits
from catfish_server.predictions.log import PredictionLog
from catfish_server.predictions.record import Origin, array
from catfish_server.service import Service
from catfish_server.telemetry.metrics import Metrics
from catfish_server.telemetry.prediction_log import LogMetrics
from catfish_server.web.app import create_app

from .conftest import SETTINGS

INFER = "/v2/models/catfish/infer"
UUID = "1b4e28ba-2fa1-4d3b-a3f5-ef19b5a7633b"


class Kept:
    """A sink in memory."""

    limits = Limits(records=100, size=1 << 20, linger_seconds=0.0)

    def __init__(self):
        self.lines = []

    def write(self, batch):
        self.lines += [json.loads(line.data) for line in batch.lines]
        return 0

    def close(self):
        pass


@pytest.fixture
def logging_client(classifier):
    """A function that makes a test client whose predictions are logged; `records()` ends the log and returns it."""
    logs = []

    def make(*, user_header=None, **options):
        from dataclasses import replace

        sink = Kept()
        log = PredictionLog(sink, LogMetrics(CollectorRegistry()), origin=Origin, **options)
        logs.append(log)
        settings = replace(SETTINGS, user_header=user_header)
        client = create_app(settings, classifier, Metrics(Lifecycle(), revision=""), log=log).test_client()

        def records():
            log.close(10)
            return sink.lines

        client.records = records
        return client

    yield make
    for log in logs:
        log.close(0)


def predict(client, jpeg, **headers):
    response = client.post("/predict", data=jpeg, content_type="image/jpeg", headers=headers)
    assert response.status_code == 200
    return response.get_json()


def test_an_answer_names_its_record_and_feedback_joins_it(logging_client, jpeg):
    client = logging_client(user_header="X-User-Id")
    answer = predict(client, jpeg, **{"X-Request-Id": "r-1", "X-User-Id": "ann\t"})
    response = client.post("/feedback", json={"uuid": answer["uuid"].upper(), "label": "fish"})
    assert (response.status_code, response.get_json()) == (
        202,
        {"uuid": answer["uuid"], "label": "fish", "logged": True},
    )
    prediction, feedback = client.records()
    assert 0 < prediction.pop("predict_time") < 60
    assert prediction.pop("time") <= feedback.pop("time")
    assert prediction == {
        "schema": 1,
        "kind": "prediction",
        "uuid": answer["uuid"],
        "request_id": "r-1",
        "user": "ann",
        "image": answer["image"],
        "prediction": answer["prediction"],
        "probability": pytest.approx(answer["probability"], abs=1e-6),
    }
    assert feedback.pop("request_id")
    assert feedback == {"schema": 1, "kind": "feedback", "uuid": answer["uuid"], "label": "fish"}


def test_without_a_log_no_answer_has_a_uuid_and_feedback_is_refused(client_of, jpeg, problem):
    client = client_of()
    assert "uuid" not in predict(client, jpeg)
    assert problem(client.post("/feedback", json={"uuid": UUID, "label": "cat"}), 403)["field"] == "uuid"


def test_tensors_are_those_of_the_model(logging_client, classifier, jpeg):
    client = logging_client(include_tensors=True)
    predict(client, jpeg)
    (record,) = client.records()
    given, made = (array(record["tensors"][name]) for name in ("input", "output"))
    assert given.shape == (3, SETTINGS.image_size, SETTINGS.image_size)
    assert np.allclose(classifier.infer(given[np.newaxis])[0], made, atol=1e-5)
    assert SETTINGS.classes[made.argmax()] == record["prediction"]


def test_raw_tensors_are_logged_by_the_digest_of_their_values(classifier):
    sink = Kept()
    log = PredictionLog(sink, LogMetrics(CollectorRegistry()), origin=Origin)
    service = Service(SETTINGS, classifier, Metrics(Lifecycle(), revision=""), log=log)
    batch = np.random.default_rng(7).standard_normal((3, 3, 32, 32)).astype(np.float32)
    logits, uuids = service.infer(batch, caller=Caller(request_id="r"))
    log.close(10)
    assert [record["uuid"] for record in sink.lines] == uuids
    assert [record["prediction"] for record in sink.lines] == [
        SETTINGS.classes[row.argmax()] for row in logits
    ]
    assert len({record["image"] for record in sink.lines}) == 3


def test_a_record_that_waits_keeps_no_more_of_a_call_than_its_own_image(classifier):
    log = Noting()
    journal = Journal(log, classifier)
    batch = np.zeros((32, 3, 32, 32), np.float32)
    logits = np.zeros((32, 2), np.float32)
    journal.inferred(batch, logits, caller=Caller(request_id="r"), seconds=0.1)
    assert len(log.records) == 1
    for kept in (log.records[0].input, log.records[0].output):
        assert kept.base is None or kept.base.nbytes == kept.nbytes


class Noting:
    """Takes the first of all records, with its tensors."""

    include_tensors = True

    def __init__(self):
        self.records = []

    def sampled(self, _uuid):
        return not self.records

    def send_to_log(self, record):
        self.records.append(record)


def open_inference(name, data, shape, datatype, **more):
    return {"inputs": [{"name": name, "datatype": datatype, "shape": shape, "data": data}], **more}


def outputs(response):
    assert response.status_code == 200, response.text
    return {output["name"]: output["data"] for output in response.get_json()["outputs"]}


def test_answers_of_the_open_inference_protocol_name_their_records(logging_client, jpeg):
    client = logging_client()
    listed = client.get("/v2/models/catfish").get_json()["outputs"]
    assert {"name": "uuid", "datatype": "BYTES", "shape": [-1]} in listed
    image = base64.b64encode(jpeg).decode()
    images = outputs(client.post(INFER, json=open_inference("images", [image] * 2, [2], "BYTES", id="mine")))
    pixels = [0.5] * (2 * 3 * 32 * 32)
    body = open_inference("pixels", pixels, [2, 3, 32, 32], "FP32", outputs=[{"name": "uuid"}])
    raw = outputs(client.post(INFER, json=body))
    assert raw.keys() == {"uuid"}
    names = images["uuid"] + raw["uuid"]
    for name in names:
        assert client.post("/feedback", json={"uuid": name, "label": "fish"}).status_code == 202
    records = client.records()
    assert [record["uuid"] for record in records] == names * 2
    assert [record["prediction"] for record in records[:2]] == images["label"]


def test_without_a_log_the_open_inference_protocol_knows_no_uuid(client_of):
    client = client_of()
    assert "uuid" not in client.get("/v2/models/catfish").text
    body = open_inference("pixels", [0.5] * (3 * 32 * 32), [1, 3, 32, 32], "FP32", outputs=[{"name": "uuid"}])
    refused = client.post(INFER, json=body)
    assert (refused.status_code, "label, probability" in refused.text) == (400, True)


def test_an_answer_that_is_not_finite_is_refused_with_a_log_as_without_one_and_is_no_record(
    logging_client, client_of, classifier, monkeypatch
):
    body = open_inference("pixels", [0.5] * (3 * 32 * 32), [1, 3, 32, 32], "FP32")
    monkeypatch.setattr(classifier, "infer", lambda batch: np.full((len(batch), 2), np.inf, np.float32))
    with_log, without = logging_client(), client_of()
    refused, wanted = (client.post(INFER, json=body) for client in (with_log, without))
    assert (refused.status_code, refused.get_json()) == (400, wanted.get_json())
    assert with_log.records() == []


def test_an_answer_that_fails_is_no_record(logging_client):
    client = logging_client()
    assert client.post("/predict", data=b"x", content_type="image/jpeg").status_code == 415
    assert client.records() == []


def test_what_is_not_sampled_is_answered_and_so_is_its_feedback(logging_client, jpeg):
    client = logging_client(sample_rate=0.0)
    name = predict(client, jpeg)["uuid"]
    response = client.post("/feedback", json={"uuid": name, "label": "cat"})
    assert (response.status_code, response.get_json()["logged"]) == (200, False)
    assert client.records() == []


def test_feedback_that_the_log_has_no_room_for_is_asked_for_again(logging_client, problem):
    client = logging_client(max_records=0)
    response = client.post("/feedback", json={"uuid": UUID, "label": "cat"})
    problem(response, 503)
    assert int(response.headers["Retry-After"]) > 0


@pytest.mark.parametrize(
    ("document", "field", "words"),
    [
        ({"label": "cat"}, "uuid", "is required"),
        ({"uuid": UUID}, "label", "is required"),
        ({"uuid": UUID, "label": ""}, "label", "is required"),
        ({"uuid": 1, "label": "cat"}, "uuid", "is required"),
        ({"uuid": UUID, "label": ["cat"]}, "label", "is required"),
        ({"uuid": "x", "label": "cat"}, "uuid", "the uuid of an answer"),
        ({"uuid": "{" + UUID + "}", "label": "cat"}, "uuid", "the uuid of an answer"),
        ({"uuid": UUID, "label": "dog"}, "label", "is not a class of this model: cat, fish."),
        ({"uuid": UUID, "label": "unknown"}, "label", "is not a class"),
        ({"uuid": UUID, "label": "cat", "note": "x"}, "note", "is not known"),
    ],
)
def test_feedback_that_says_nothing_is_refused_with_the_field(
    logging_client, problem, document, field, words
):
    client = logging_client()
    refused = problem(client.post("/feedback", json=document), 400)
    assert (refused["field"], words in refused["detail"]) == (field, True)
    assert client.records() == []


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b"\xff", b"[" * 1000])
def test_a_body_that_is_no_object_is_refused(logging_client, problem, body):
    problem(logging_client().post("/feedback", data=body, content_type="application/json"), 400)


def test_other_types_and_methods_are_refused(logging_client, problem):
    client = logging_client()
    assert problem(client.post("/feedback", data={"uuid": UUID}), 415)["field"] == "Content-Type"
    problem(client.get("/feedback"), 405)


def test_a_user_is_printable_and_short(logging_client, jpeg):
    client = logging_client(user_header="X-User-Id")
    predict(client, jpeg, **{"X-User-Id": "ä" * 1000})
    (record,) = client.records()
    assert len(record["user"]) == 256


def test_every_uuid_is_another(logging_client, jpeg):
    client = logging_client()
    names = {predict(client, jpeg)["uuid"] for _ in range(20)}
    assert len(names) == 20
    assert {str(uuid.UUID(name)) for name in names} == names
