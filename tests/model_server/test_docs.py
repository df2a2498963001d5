"""The pages about the model server say what the code has: `make docs` writes them."""

import json
import re

import pytest

from catfish_server import settings
from catfish_server.settings import Settings
from catfish_server.web import openapi
from tools import docs


@pytest.mark.parametrize("page", docs.PAGES)
def test_what_is_generated_in_the_pages_is_what_the_code_has(page):
    written = (docs.ROOT / page).read_text()
    assert docs.filled(written, docs.PAGES[page]) == written, "run `make docs`"


def test_the_page_lists_every_setting_with_its_flag_and_its_field():
    page = (docs.ROOT / "docs" / "server.md").read_text()
    rows = re.findall(r"^\| `(CATFISH_\w+)` \| (?:`([^`]+)`)? ?\| (?:`([^`]+)`)? ?\|", page, re.MULTILINE)
    listed = {name: (flag or None, field or None) for name, flag, field in rows}
    assert listed == {variable.name: (variable.flag, variable.field) for variable in settings.VARIABLES}


def test_every_setting_has_a_meaning_and_a_default_that_reads_well():
    table = docs.settings_table()
    assert (
        "| `CATFISH_IMAGE_MEAN` | `--mean` | `spec.model.mean` | 0.485, 0.456, 0.406 | of R, G and B in 0..1 |"
        in table
    )
    assert "| `CATFISH_THREADS` | `--threads` | | the CPU quota of the container |" in table
    assert all(row.split("|")[-2].strip() for row in table.splitlines())


def test_a_page_without_a_place_for_a_piece_is_refused():
    with pytest.raises(ValueError, match="no place for settings"):
        docs.filled("nothing", ("settings",))


def test_the_metrics_that_the_operator_reads_are_there():
    table = docs.metrics_table()
    for name in (
        "catfish_requests_total{code,path}",
        "catfish_request_duration_seconds",
        "catfish_predictions_total{label}",
        "catfish_request_stage_seconds{stage}",
        "catfish_runtime_info{device,engine,instruction_set,threads}",
    ):
        assert f"`{name}`" in table


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


def test_every_reference_of_the_document_leads_somewhere():
    document = openapi.everything(Settings(location="", threads=1))
    for reference in set(re.findall(r'"\$ref": "(#[^"]*)"', json.dumps(document))):
        assert docs._resolved(document, {"$ref": reference})
