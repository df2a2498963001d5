"""The operator's metrics: the list in the documentation is the list that is served, and models come and go."""

import re
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from catfish_operator.controller.metrics import Metrics
from tests.operator.world import body

OPERATIONS = Path(__file__).parents[2] / "docs" / "operations.md"


def samples(metrics):
    return {
        (sample.name, *sorted(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(metrics.text().decode())
        for sample in family.samples
    }


def test_the_documentation_lists_exactly_what_is_there():
    metrics = Metrics()
    metrics.show_models(list)
    there = {
        family.name + ("_total" if family.type == "counter" else "") for family in metrics.registry.collect()
    }
    table = OPERATIONS.read_text().partition("## Metrics")[2].partition("\n## ")[0]
    assert set(re.findall(r"^\| `(catfish_[a-z_]+)", table, re.MULTILINE)) == there


def test_the_alerts_of_the_documentation_use_metrics_that_there_are():
    metrics = Metrics()
    metrics.show_models(list)
    there = {family.name.removesuffix("_total") for family in metrics.registry.collect()}
    alerts = OPERATIONS.read_text().partition("## Alerts")[2].partition("\n## ")[0]
    used = {name.removesuffix("_total") for name in re.findall(r"catfish_[a-z_]+", alerts)}
    assert used
    assert used <= there


def test_a_models_gauges_show_its_status_and_go_with_it():
    model = body(replicas=3) | {
        "status": {
            "availableReplicas": 2,
            "conditions": [
                {"type": "Ready", "status": "True"},
                {"type": "UpToDate", "status": "False"},
                {"type": "Stalled", "status": "True"},
            ],
        }
    }
    models, metrics = [model], Metrics()
    metrics.show_models(lambda: [(each, None) for each in models])
    found = samples(metrics)
    who = ("cat", "default")
    assert found["catfish_model_ready", *who] == 1
    assert found["catfish_model_up_to_date", *who] == 0
    assert found["catfish_model_stalled", *who] == 1
    assert found["catfish_model_replicas_desired", *who] == 3
    assert found["catfish_model_replicas_available", *who] == 2
    models.clear()
    assert not [name for name, *_ in samples(metrics) if name.startswith("catfish_model_")]


def test_a_model_without_a_count_or_a_status_has_gauges_too():
    metrics = Metrics()
    scaled, bare = body(), body() | {"status": {"replicas": 9}}
    scaled["metadata"] = {**scaled["metadata"], "name": "dog"}
    bare["metadata"] = {**bare["metadata"], "name": "eel"}
    del bare["spec"]
    least = body(autoscaling={"minReplicas": 2, "maxReplicas": 3})
    least["metadata"] = {**least["metadata"], "name": "fox"}
    metrics.show_models(
        lambda: [(body(), None), (scaled, {"spec": {"replicas": 4}}), (bare, None), (least, None)]
    )
    found = samples(metrics)
    assert found["catfish_model_ready", "cat", "default"] == 0
    desired = {"cat": 1, "dog": 4, "eel": 1, "fox": 2}
    for name, number in desired.items():
        assert found["catfish_model_replicas_desired", *sorted(("default", name))] == number


def test_a_rollback_is_counted_by_its_reason():
    metrics = Metrics()
    metrics.count_rollout("RolledBack", "ChecksumMismatch")
    metrics.count_rollout("Completed", "RolloutCompleted")
    found = samples(metrics)
    assert found["catfish_rollouts_total", "RolledBack"] == 1
    assert found["catfish_rollouts_total", "Completed"] == 1
    assert found["catfish_rollbacks_total", "ChecksumMismatch"] == 1
    assert ("catfish_rollbacks_total", "RolloutCompleted") not in found
