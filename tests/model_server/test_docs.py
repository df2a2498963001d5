"""The pages about the model server say what the code has: `make docs` writes them."""

import re

import pytest
from prometheus_client import CollectorRegistry, Counter

from catfish_server import variables
from catfish_server.inference.engines.choose import State
from catfish_server.telemetry.metrics import REASONS
from catfish_server.telemetry.prediction_log import DROPPED
from tools import docs


@pytest.mark.parametrize("page", docs.PAGES)
def test_what_is_generated_in_the_pages_is_what_the_code_has(page):
    written = (docs.ROOT / page).read_text()
    assert docs.filled(written, docs.PAGES[page]) == written, "run `make docs`"


def test_the_page_lists_every_setting_with_its_flag_and_its_field():
    page = (docs.ROOT / "docs" / "server.md").read_text()
    rows = re.findall(r"^\| `(CATFISH_\w+)` \| (?:`([^`]+)`)? ?\| (?:`([^`]+)`)? ?\|", page, re.MULTILINE)
    listed = {name: (flag or None, field or None) for name, flag, field in rows}
    assert listed == {variable.name: (variable.flag, variable.field) for variable in variables.VARIABLES}


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


def test_what_stands_for_a_label_is_told_of_every_one_that_has_words_of_its_own():
    table = docs.metrics_table()
    for name, words in {
        "catfish_rejections_total{reason}": REASONS,
        "catfish_prediction_log_dropped_total{reason}": DROPPED,
        "catfish_engines_tried_total{engine,state}": tuple(State),
    }.items():
        (row,) = [row for row in table.splitlines() if f"`{name}`" in row]
        assert {word for word in words if f"`{word}`" not in row} == set()


def test_a_metric_whose_labels_nobody_knows_cannot_be_listed():
    registry = CollectorRegistry()
    Counter("catfish_of_a_test", "Things.", ["kind"], registry=registry)
    with pytest.raises(ValueError, match="catfish_of_a_test"):
        docs.families_table(registry)


def test_the_metrics_that_the_operator_reads_are_there():
    table = docs.metrics_table()
    for name in (
        "catfish_requests_total{code,path}",
        "catfish_request_duration_seconds",
        "catfish_predictions_total{label}",
        "catfish_request_stage_seconds{stage}",
        "catfish_runtime_info{device,engine,instruction_set,threads}",
        "catfish_engines_tried_total{engine,state}",
        "catfish_prediction_log_dropped_total{reason}",
    ):
        assert f"`{name}`" in table
