"""The whole server with a log: every prediction is one record, and a sink that is down harms nobody.

`make log-outage` takes the broker away for a whole minute under load; by default the tests do it for a few seconds.
"""

import io
import json
import os
import re
import signal
import subprocess
import threading
import time
from collections import Counter

import numpy as np
import pytest
from PIL import Image
from safetensors.torch import save_file
from torchvision import models

from catfish_server.predictions.log import FLUSH_SECONDS
from localcluster.ports import free_ports
from tests.model_server.conftest import Program
from tools import docs

from . import broker
from .clients import gathered, load, ready
from .conftest import dropped_of, until
from .test_kafka import messages
from .test_objects import objects, opened, s3  # noqa: F401 (a fixture)

pytestmark = pytest.mark.process

CLIENTS = 32
URL = "CATFISH_PREDICTION_LOG_URL"
OUTAGE_SECONDS = float(os.environ.get("CATFISH_TEST_OUTAGE_SECONDS", "8"))


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "cat.safetensors"
    save_file(models.mobilenet_v3_small(weights=None, num_classes=2).state_dict(), path)
    return path


@pytest.fixture(scope="module")
def jpeg():
    rng = np.random.default_rng(7)
    buffer = io.BytesIO()
    Image.fromarray(rng.integers(0, 255, (48, 64, 3), dtype=np.uint8)).save(buffer, "JPEG")
    return buffer.getvalue()


@pytest.fixture(scope="module")
def kafka(tmp_path_factory):
    with broker.broker(tmp_path_factory.mktemp("kafka")) as started:
        yield started


@pytest.fixture
def serving(tmp_path, weights, monkeypatch):
    """A function that starts a server with these settings, its standard output in a file."""
    started = []

    def start(**env):
        out = (tmp_path / "stdout").open("wb")
        popen = subprocess.Popen
        with out, monkeypatch.context() as patch:
            patch.setattr(
                subprocess, "Popen", lambda *words, **options: popen(*words, **options | {"stdout": out})
            )
            ports = dict(zip(("CATFISH_PORT", "CATFISH_ADMIN_PORT"), free_ports(2), strict=True))
            settings = {
                "CATFISH_MODEL_LOCATION": weights,
                "CATFISH_ARCHITECTURE": "mobilenet_v3_small",
                "CATFISH_IMAGE_SIZE": 32,
                "CATFISH_REVISION": "cat-0123456789",
            }
            started.append(Program(tmp_path, ports | settings | env))
        ready(started[-1])
        return started[-1]

    yield start
    for running in started:
        running.process.kill()
        running.process.communicate()


def on_stdout(request):
    path = request.getfixturevalue("tmp_path") / "stdout"
    return {}, lambda: path.read_bytes().splitlines()


def in_a_file(request):
    path = request.getfixturevalue("tmp_path") / "log.jsonl"
    return {URL: f"file://{path}"}, lambda: path.read_bytes().splitlines()


def in_kafka(request):
    kafka = request.getfixturevalue("kafka")
    kafka.create("counts")
    read = lambda: [message.value() for message in messages(kafka, "counts")]  # noqa: E731
    return {URL: f"kafka://{kafka.address}/counts"}, read


def in_s3(request):
    """The keys are given as the operator gives those of the log's own Secret."""
    url, endpoint, env, _ = request.getfixturevalue("s3")
    keys = {f"CATFISH_LOG_SECRET_{name}": value for name, value in env.items()}
    store = opened(url, endpoint, env)
    read = lambda: b"".join(objects(store, "counts").values()).splitlines()  # noqa: E731
    return keys | {URL: f"{url}/counts", "CATFISH_PREDICTION_LOG_ENDPOINT": endpoint}, read


SINKS = {"stdout": on_stdout, "file": in_a_file, "s3": in_s3, "kafka": in_kafka}
"""Of each kind: a function that gives the server's settings, and what reads the lines afterwards."""

REAL = [pytest.param(sink, marks=pytest.mark.integration) for sink in ("s3", "kafka")]


@pytest.mark.parametrize("sink", ["stdout", "file", *REAL])
def test_every_prediction_is_one_record_and_joins_with_its_feedback(sink, serving, jpeg, request):
    settings, lines = SINKS[sink](request)
    running = serving(**settings, CATFISH_PREDICTION_LOG_SINK=sink, CATFISH_USER_HEADER="X-User")
    answers, feedback = gathered(load(running, jpeg, clients=CLIENTS, requests=20))
    assert unlisted(running) == set()
    running.process.send_signal(signal.SIGTERM)
    assert running.process.wait(timeout=30) == 0
    records = [json.loads(line) for line in lines()]
    assert len(answers) == CLIENTS * 20
    assert len(feedback) == CLIENTS * 10
    predicted = [record for record in records if record["kind"] == "prediction"]
    assert Counter(record["uuid"] for record in predicted) == Counter(list(answers))
    assert {record["uuid"]: record["prediction"] for record in predicted} == answers
    assert {record["uuid"]: record["label"] for record in records if record["kind"] == "feedback"} == feedback
    assert len(records) == len(answers) + len(feedback)
    assert {record["revision"] for record in records} == {"cat-0123456789"}
    assert {record["model"] for record in records} == {"cat"}
    assert {record["user"] for record in records} == {"ann"}
    assert {len(record["weights_sha256"]) for record in records} == {64}


@pytest.mark.integration
def test_a_sink_that_is_down_under_load_harms_nobody_and_only_what_is_counted_is_lost(kafka, serving, jpeg):
    kafka.create("outage")
    running = serving(
        CATFISH_PREDICTION_LOG_SINK="kafka",
        CATFISH_PREDICTION_LOG_URL=f"kafka://{kafka.address}/outage",
        CATFISH_PREDICTION_LOG_INCLUDE_TENSORS="true",  # so that the queue is full within seconds
        CATFISH_IMAGE_SIZE=192,
    )
    stop = threading.Event()
    clients = load(running, jpeg, clients=8, stop=stop)
    until(lambda: sum(len(client.answers) for client in clients) > 100, seconds=120)
    kafka.stop()
    down = time.monotonic()
    threading.Event().wait(OUTAGE_SECONDS)
    until(lambda: dropped_of(running.probe("/metrics")[1].decode()), seconds=120)
    back = time.monotonic()
    delivered = value(running.probe("/metrics")[1].decode(), "delivered_total")
    kafka.start()
    until(lambda: value(running.probe("/metrics")[1].decode(), "delivered_total") > delivered, seconds=120)
    stop.set()
    answers, feedback = gathered(clients)
    until(lambda: settled(running), seconds=60)
    text = running.probe("/metrics")[1].decode()
    delivered, lost = value(text, "delivered_total"), dropped_of(text)
    refused = feedback_refused(clients)
    arrived = Counter((json.loads(m.value())["kind"], m.key().decode()) for m in messages(kafka, "outage"))
    assert lost.keys() <= {"bytes", "records"}
    assert sum(lost.values()) > 0
    assert delivered == len(arrived) == sum(arrived.values())
    assert delivered + sum(lost.values()) == len(answers) + len(feedback) + refused
    assert {name for kind, name in arrived if kind == "feedback"} == feedback.keys()
    assert {name for kind, name in arrived if kind == "prediction"} <= answers.keys()
    before, during = (median_seconds(clients, *bounds) for bounds in ((0.0, down), (down, back)))
    figures = (
        f"{len(answers)} answers, down {back - down:.0f} s: {delivered:.0f} records delivered, {lost} lost; "
        f"median of a request: {before * 1000:.0f} ms before, {during * 1000:.0f} ms during the outage"
    )
    print(figures)  # noqa: T201 (for `make log-outage`)
    assert during < before * 2, f"a request took {before:.3f} s before and {during:.3f} s during the outage"


def unlisted(running):
    """Metrics that the server has and the page about it does not list."""
    told = set(re.findall(r"(?m)^# TYPE (\w+) ", running.probe("/metrics")[1].decode()))
    page = (docs.ROOT / "docs" / "server-api.md").read_text()
    assert len(told) > 15
    return {name for name in told if not name.endswith("_created") and f"| `{name}" not in page}


def settled(running):
    """Whether nothing waits for the sink."""
    return value(running.probe("/metrics")[1].decode(), "queued_records") == 0


def value(text, name):
    (line,) = [line for line in text.splitlines() if line.startswith(f"catfish_prediction_log_{name} ")]
    return float(line.split()[1])


def feedback_refused(clients):
    """Feedback that the log had no room for; each was told so."""
    return sum((len(client.answers) + 1) // 2 - len(client.feedback) for client in clients)


def median_seconds(clients, first, last):
    found = sorted(took for client in clients for began, took in client.seconds if first <= began < last)
    return found[len(found) // 2]


@pytest.mark.parametrize(
    "again", [0, 1, 1000], ids=["at its own pace", "told a second time", "told all the time"]
)
def test_a_server_whose_output_nobody_reads_answers_and_ends_in_time_and_tells_what_is_lost(
    program, weights, jpeg, again
):
    running = program(
        CATFISH_MODEL_LOCATION=weights,
        CATFISH_ARCHITECTURE="mobilenet_v3_small",
        CATFISH_PREDICTION_LOG_SINK="stdout",
        CATFISH_IMAGE_SIZE=64,
        CATFISH_PREDICTION_LOG_INCLUDE_TENSORS="true",
    )
    ready(running)
    answers, _ = gathered(load(running, jpeg, clients=4, requests=10))
    assert len(answers) == 40
    running.process.send_signal(signal.SIGTERM)
    until(lambda: "Everything is answered: leaving." in running.errors.read_text(), seconds=30)
    began = time.monotonic()
    for _ in range(again):  # at whatever it is just doing: closing, waiting for the log, or ending
        running.process.send_signal(signal.SIGTERM)
        threading.Event().wait(0.001)
    assert running.process.wait(timeout=30) == 0
    assert time.monotonic() - began < (FLUSH_SECONDS if again else 10)
    told = running.errors.read_text()
    assert told.count("records of the prediction log are lost") == 1
    assert "Traceback" not in told


def test_a_log_that_cannot_be_ends_the_start_before_the_weights_are_fetched(program):
    running = program(
        CATFISH_MODEL_LOCATION="https://models.invalid/cat.pt",
        CATFISH_PREDICTION_LOG_SINK="s3",
        CATFISH_PREDICTION_LOG_URL="kafka://me:hunter2@a/t",
    )
    code, output, told = running.end()
    assert (code, told["reason"]) == (18, "InvalidSpec")
    assert told["message"].startswith("spec.logging.predictions.url: must ")
    assert "hunter2" not in output
