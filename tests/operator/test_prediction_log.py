"""`spec.logging`, read, rendered, and part of what makes a revision."""

import pytest

from catfish_operator.model import CatfishModel, PredictionLog
from catfish_operator.resources import deployment
from tests.operator.world import body

EVERYTHING = {
    "sink": "kafka",
    "url": "kafka://a:9092/t",
    "endpoint": "http://store",
    "credentialsSecretRef": {"name": "kafka"},
    "sampleRate": 0.5,
    "includeTensors": True,
    "userHeader": "X-User",
}


def read(log, **spec):
    return CatfishModel.from_body(body(logging={"predictions": log}, **spec))


def test_every_field_is_read():
    assert read(EVERYTHING).prediction_log == PredictionLog(
        sink="kafka",
        url="kafka://a:9092/t",
        endpoint="http://store",
        credentials_secret="kafka",
        sample_rate=0.5,
        include_tensors=True,
        user_header="X-User",
    )


def test_a_log_is_read_with_its_defaults():
    assert read({}).prediction_log == PredictionLog(
        sink="stdout",
        url=None,
        endpoint=None,
        credentials_secret=None,
        sample_rate=1.0,
        include_tensors=False,
        user_header=None,
    )


def test_without_a_log_the_server_is_told_of_none():
    model = CatfishModel.from_body(body())
    assert model.prediction_log is None
    names = {item["name"] for item in deployment.environment(model, revision="cat-1")}
    assert not any("LOG" in name or "USER" in name for name in names)


@pytest.mark.parametrize(
    ("weights", "log", "expected"),
    [
        (None, None, None),
        ("w", None, [{"prefix": "CATFISH_WEIGHTS_SECRET_", "secretRef": {"name": "w"}}]),
        (None, "l", [{"prefix": "CATFISH_LOG_SECRET_", "secretRef": {"name": "l"}}]),
        (
            "w",
            "l",
            [
                {"prefix": "CATFISH_WEIGHTS_SECRET_", "secretRef": {"name": "w"}},
                {"prefix": "CATFISH_LOG_SECRET_", "secretRef": {"name": "l"}},
            ],
        ),
    ],
)
def test_the_secret_of_the_log_is_kept_apart_from_that_of_the_weights(weights, log, expected):
    asked = {"sink": "s3", "url": "s3://logs"} | ({"credentialsSecretRef": {"name": log}} if log else {})
    url = {"url": "https://models.example.com/cat.pt"}
    model = read(asked, weights=url | ({"credentialsSecretRef": {"name": weights}} if weights else {}))
    container = deployment.template(model, revision="cat-1")["spec"]["containers"][0]
    assert container.get("envFrom") == expected
