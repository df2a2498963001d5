from dataclasses import replace

from prometheus_client.parser import text_string_to_metric_families

from catfish_server.lifecycle import Lifecycle, Stage, Weights
from catfish_server.models.model import Runtime
from catfish_server.telemetry.metrics import Metrics


def samples(metrics):
    """Values by name and the values of the labels, in the order of the labels' names."""
    families = text_string_to_metric_families(metrics.text().decode())
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in families
        for sample in family.samples
    }


def test_every_class_is_there_from_the_start_with_nothing_counted():
    metrics = Metrics(Lifecycle(), revision="r-1")
    metrics.know_classes(("cat", "fish"))
    found = samples(metrics)
    assert found[("catfish_predictions_total", "cat")] == 0
    assert found[("catfish_predictions_total", "fish")] == 0


def test_failures_can_be_counted_from_the_first_one_on():
    found = samples(Metrics(Lifecycle(), revision="r-1"))
    for code in ("200", "500", "503"):
        assert found[("catfish_requests_total", code, "/predict")] == 0
    assert found[("catfish_request_duration_seconds_sum",)] == 0
    assert found[("catfish_request_duration_seconds_count",)] == 0


def test_the_digest_of_the_weights_is_told_once_it_is_known():
    lifecycle = Lifecycle()
    metrics = Metrics(lifecycle, revision="")
    assert "catfish_weights_info" not in metrics.text().decode()
    lifecycle.fetched(Weights(sha256="a" * 64, size=3, format="safetensors", download_seconds=1.5))
    assert samples(metrics)[("catfish_weights_info", "safetensors", "a" * 64)] == 1


def test_what_happens_is_counted():
    metrics = Metrics(Lifecycle(), revision="r-1")
    metrics.started()
    metrics.answered("/predict", 200)
    metrics.predicted("cat")
    metrics.timed(0.02)
    metrics.rejected("queue")
    metrics.watch_queue(lambda: 4)
    found = samples(metrics)
    assert found[("catfish_requests_total", "200", "/predict")] == 1
    assert found[("catfish_predictions_total", "cat")] == 1
    assert found[("catfish_request_duration_seconds_count",)] == 1
    assert found[("catfish_rejections_total", "queue")] == 1
    assert found[("catfish_requests_in_flight",)] == 1
    assert found[("catfish_queued_requests",)] == 4
    metrics.finished()
    assert samples(metrics)[("catfish_requests_in_flight",)] == 0


def test_paths_that_strangers_invent_share_one_label():
    metrics = Metrics(Lifecycle(), revision="")
    for path in ("/wp-admin", "/a" * 50, "/predict/"):
        metrics.answered(path, 404)
    assert samples(metrics)[("catfish_requests_total", "404", "other")] == 3


def test_exactly_one_stage_is_the_present_one():
    lifecycle = Lifecycle()
    metrics = Metrics(lifecycle, revision="")
    lifecycle.progress(30, 100)
    found = samples(metrics)
    assert (found[("catfish_stage_done",)], found[("catfish_stage_total",)]) == (30, 100)
    lifecycle.enter(Stage.READY)
    found = samples(metrics)
    assert {stage: found[("catfish_stage", stage)] for stage in Stage} == {
        stage: float(stage is Stage.READY) for stage in Stage
    }


def test_two_servers_in_one_process_count_apart():
    first, second = Metrics(Lifecycle(), revision="a"), Metrics(Lifecycle(), revision="b")
    first.answered("/", 200)
    assert ("catfish_requests_total", "200", "/") not in samples(second)


def test_what_runs_the_model_is_told_as_it_is_now():
    now = [Runtime(engine="torch", device="cpu", instruction_set="AVX-512 VNNI", threads=2)]
    metrics = Metrics(Lifecycle(), revision="")
    metrics.watch_runtime(lambda: now[0])
    before = ("catfish_runtime_info", "cpu", "torch", "AVX-512 VNNI", "2")
    assert samples(metrics)[before] == 1
    now[0] = replace(now[0], engine="onnxruntime")
    found = samples(metrics)
    assert found["catfish_runtime_info", "cpu", "onnxruntime", "AVX-512 VNNI", "2"] == 1
    assert before not in found


def test_engines_that_were_tried_are_counted_by_what_became_of_them():
    metrics = Metrics(Lifecycle(), revision="")
    metrics.tried("torchscript", "disagrees")
    metrics.tried("torchscript", "disagrees")
    assert samples(metrics)[("catfish_engines_tried_total", "torchscript", "disagrees")] == 2
