"""`GET /openapi.json` describes what is there; tests/conformance holds the server to what it says."""

import contextlib
import json
import re

from catfish_server.inference.classifier import Classifier
from catfish_server.lifecycle import Lifecycle
from catfish_server.models.module import TorchModel
from catfish_server.settings import Settings
from catfish_server.telemetry.metrics import Metrics
from catfish_server.web import openapi
from catfish_server.web.app import create_app
from tools import docs


def test_the_document_describes_every_route_and_nothing_else(client_of):
    app = client_of().application
    document = client_of().get("/openapi.json").get_json()
    routes = {
        (openapi._shape(rule.rule), method.lower())
        for rule in app.url_map.iter_rules()
        for method in rule.methods - {"HEAD", "OPTIONS"}
    }
    described = {
        (openapi._shape(path), method) for path, item in document["paths"].items() for method in item
    }
    assert described == routes


def test_parts_are_described_where_the_application_has_their_routes():
    made = Settings(location="", threads=1, max_images=5)
    alone = openapi.document(["/", "/predict"], made)
    assert "/feedback" not in alone["paths"]
    assert "/v2" not in alone["paths"]
    rules = ["/feedback", "/v2/models/<name>/infer", "/v2/models/<string:name>/versions/<version>/infer"]
    paths = openapi.document(rules, made)["paths"]
    assert {"/feedback", "/v2/models/{model_name}/infer"} <= paths.keys()
    assert "/v2/models/{model_name}/versions/{model_version}/infer" in paths
    assert "/v2/health/ready" not in paths


def test_the_document_tells_the_limits_of_the_server(client_of):
    document = client_of(max_images=5).get("/openapi.json").get_json()
    assert document["components"]["schemas"]["Several"]["properties"]["images"]["maxItems"] == 5
    assert document["openapi"].startswith("3.1.")


def test_the_document_promises_no_more_images_than_may_wait(module):
    large = Classifier(
        TorchModel(module),
        ("cat", "fish"),
        image_size=2048,
        mean=(0.5,) * 3,
        std=(0.5,) * 3,
        unknown_threshold=None,
        threads=2,
    )
    with contextlib.closing(large):
        made = Settings(location="", threads=2, image_size=2048, classes=large.classes)
        app = create_app(made, large, Metrics(Lifecycle(), revision=""))
        document = app.test_client().get("/openapi.json").get_json()
    assert document["components"]["schemas"]["Several"]["properties"]["images"]["maxItems"] == 3


def test_every_reference_of_the_document_leads_somewhere():
    document = openapi.everything(Settings(location="", threads=1))
    for reference in set(re.findall(r'"\$ref": "(#[^"]*)"', json.dumps(document))):
        assert docs._resolved(document, {"$ref": reference})


def test_a_parameter_that_has_one_value_only_is_described_with_it():
    made = Settings(location="", threads=1)
    described = openapi.document(["/v2/models/<name>"], made, only={"model_name": "cats"})
    (parameter,) = described["paths"]["/v2/models/{model_name}"]["get"]["parameters"]
    assert parameter["schema"]["enum"] == ["cats"]
