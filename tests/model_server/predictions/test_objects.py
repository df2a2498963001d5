"""Real object stores: versitygw for S3, and the emulators of Google's and Azure's."""

import gzip
import json
import re

import obstore
import pytest

from catfish_server.errors import InvalidSpec
from catfish_server.predictions import __main__ as command
from catfish_server.predictions import destination, stores
from catfish_server.predictions.buffer import Limits
from catfish_server.predictions.sinks.objects import Objects
from catfish_server.predictions.sinks.sink import Unavailable
from localcluster.store import REGION, Store
from tests.model_server.weights import emulators, recorder

from . import xml_api
from .conftest import batch, record, until

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def s3(tmp_path_factory):
    with Store.start_in(tmp_path_factory.mktemp("store")) as store:
        (store.files / "logs").mkdir()
        env = {
            "AWS_ACCESS_KEY_ID": store.access_key,
            "AWS_SECRET_ACCESS_KEY": store.secret_key,
            "AWS_REGION": REGION,
        }
        yield "s3://logs", store.s3_url, env, store


@pytest.fixture(scope="module")
def gs(tmp_path_factory):
    with emulators.google(tmp_path_factory.mktemp("google")) as started:
        started.put("logs", "other", b"x")
        with xml_api.in_front_of(started.url) as url:
            yield "gs://logs", url, {}, started


@pytest.fixture(scope="module")
def az(tmp_path_factory):
    with emulators.azure(tmp_path_factory.mktemp("azure")) as started:
        started.put("logs", "other", b"x")
        env = {"AZURE_STORAGE_ACCOUNT": emulators.ACCOUNT, "AZURE_STORAGE_KEY": emulators.KEY}
        yield "az://logs", started.url, env, started


@pytest.fixture(params=["s3", "gs", "az"])
def place(request):
    """URL, endpoint and environment of a bucket that is there."""
    return request.getfixturevalue(request.param)[:3]


def opened(url, endpoint, env):
    return stores.store(destination.of_url(url), endpoint=endpoint, env=env)


def objects(store, prefix):
    """What lies under a prefix, by name."""
    found = [item["path"] for page in obstore.list(store, prefix=prefix) for item in page]
    return {name: gzip.decompress(bytes(obstore.get(store, name).bytes())) for name in found}


def test_a_batch_is_one_object_named_by_time_pod_and_number(place):
    store = opened(*place)
    sink = Objects(store, prefix="a/b", pod="cat-7d9f/x")
    assert sink.write(batch("1", "2", number=7, seconds=1_700_000_000.0)) == 0
    ((name, data),) = objects(store, "a/b").items()
    pattern = r"a/b/date=2023-11-14/hour=22/20231114T221320Z-cat-7d9f-x-[0-9a-f]{8}-00000007\.jsonl\.gz"
    assert re.fullmatch(pattern, name)
    assert data == b'{"uuid":"1"}\n{"uuid":"2"}\n'


def test_a_try_that_is_repeated_makes_no_second_object(place):
    store = opened(*place)
    sink, one = Objects(store, prefix="again"), batch("1")
    sink.write(one)
    sink.write(one)
    assert len(objects(store, "again")) == 1


def test_every_record_arrives_once_and_is_exported_with_its_feedback(place, logged, tmp_path):
    url, endpoint, env = place
    sink = Objects(opened(*place), prefix="whole")
    sink.limits = Limits(records=100, size=1 << 20, linger_seconds=0.1)
    made = logged(sink)
    sent = [name for name, _ in made.send(950)]
    for name in sent[::2]:
        made.log.send_to_log(record(kind="feedback", uuid=name, label="fish", image=None, prediction=None))
    until(lambda: made.count("delivered_total") == 950 + 475, seconds=120)
    lines = [
        json.loads(line) for data in objects(opened(*place), "whole").values() for line in data.splitlines()
    ]
    assert sorted(line["uuid"] for line in lines if line["kind"] == "prediction") == sorted(sent)
    out = tmp_path / "train.jsonl"
    assert command.run(["export", f"{url}/whole", str(out), "--endpoint", endpoint], env) == 0
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    assert {row["uuid"]: row["label"] for row in rows} == dict.fromkeys(sent[::2], "fish")


def test_the_export_takes_the_keys_of_the_logs_own_secret_as_the_server_does(s3, tmp_path, capsys):
    url, endpoint, env, _ = s3
    Objects(opened(url, endpoint, env), prefix="own").write(batch("1"))
    own = {f"CATFISH_LOG_SECRET_{name}": value for name, value in env.items()}
    words = ["export", f"{url}/own", str(tmp_path / "train.csv"), "--endpoint", endpoint]
    assert command.run(words, own | {"AWS_ACCESS_KEY_ID": "of-the-weights"}) == 0, capsys.readouterr().err


def test_a_prefix_without_objects_is_no_source(place, tmp_path, capsys):
    url, endpoint, env = place
    words = ["export", f"{url}/nothing", str(tmp_path / "train.csv"), "--endpoint", endpoint]
    assert command.run(words, env) == 1
    assert capsys.readouterr().err == f"catfish-log: {url}/nothing: there is no object under this prefix\n"
    assert list(tmp_path.iterdir()) == []


def test_a_store_that_is_down_for_a_while_gets_everything_afterwards(s3, logged):
    url, endpoint, env, server = s3
    sink = Objects(opened(url, endpoint, env), prefix="down")
    sink.limits = Limits(records=10, size=1 << 20, linger_seconds=0.0)
    made = logged(sink, max_records=200)
    server.stop()
    try:
        taken = [name for name, taken in made.send(300) if taken]
        until(lambda: made.count("failures_total") > 2)
    finally:
        server.start()
    until(lambda: made.count("delivered_total") == 200)
    found = objects(opened(url, endpoint, env), "down").values()
    assert sorted(json.loads(line)["uuid"] for data in found for line in data.splitlines()) == sorted(taken)
    assert made.dropped() == {"records": 100}


def test_a_store_that_asks_to_come_again_gets_the_log_and_is_read_back(s3, logged, tmp_path, capsys):
    url, endpoint, env, _ = s3
    with recorder.in_front_of(endpoint) as between:
        between.answers = [503, 429, 408, 500]
        sink = Objects(opened(url, between.url, env), prefix="busy")
        sink.limits = Limits(records=10, size=1 << 20, linger_seconds=0.0)
        made = logged(sink)
        made.send(1)
        until(lambda: made.count("delivered_total") == 1)
        assert (len(between.seen), made.dropped()) == (5, {})
        between.answers = [503, 429, 408]
        words = ["export", f"{url}/busy", str(tmp_path / "train.jsonl"), "--endpoint", between.url]
        assert command.run(words, env) == 0, capsys.readouterr().err
        assert len(between.seen) == 5 + 3 + 2


@pytest.mark.parametrize(
    ("url", "wrong", "advice"),
    [
        ("s3://logs", {"AWS_ACCESS_KEY_ID": "nobody", "AWS_SECRET_ACCESS_KEY": "hunter2"}, "for these keys"),
        ("s3://logs", {"AWS_ACCESS_KEY_ID": ""}, "its keys may not do this"),
        ("s3://nothing", {}, "there is no such bucket"),
    ],
    ids=["wrong-keys", "no-keys", "no-bucket"],
)
def test_a_store_that_says_no_is_told_of_with_what_to_do_and_without_what_it_said(s3, url, wrong, advice):
    sink = Objects(opened(url, s3[1], s3[2] | wrong), prefix="a")
    with pytest.raises(Unavailable) as refused:
        sink.write(batch("1"))
    assert advice in str(refused.value)
    assert re.fullmatch(r"the store did not take an object: \w+ \([\w ,]+\)", str(refused.value))


def test_what_the_process_has_for_the_weights_is_not_mixed_into_the_keys_of_the_log(place, monkeypatch):
    for name in (
        "AWS_ACCESS_KEY_ID",
        "AWS_SECRET_ACCESS_KEY",
        "AWS_SESSION_TOKEN",
        "AZURE_STORAGE_ACCOUNT_KEY",
    ):
        monkeypatch.setenv(name, "d2VpZ2h0cw==")
    monkeypatch.setenv("AZURE_STORAGE_SAS_TOKEN", "sv=2023-11-03&sig=weights")
    assert Objects(opened(*place), prefix="apart").write(batch("1")) == 0


def test_azure_needs_the_name_of_its_account():
    with pytest.raises(InvalidSpec, match=r"^spec\.logging\.predictions\.url: .*AZURE_STORAGE_ACCOUNT"):
        opened("az://logs", None, {})


def test_a_key_that_is_none_is_refused_at_start_and_not_shown():
    with pytest.raises(InvalidSpec, match=r"credentialsSecretRef") as refused:
        opened("gs://logs", None, {"GOOGLE_SERVICE_ACCOUNT_KEY": "hunter2"})
    assert "hunter2" not in str(refused.value)


def test_the_secret_of_the_log_goes_before_that_of_the_weights():
    weights = {"AWS_ACCESS_KEY_ID": "a", "AWS_REGION": "here"}
    assert stores.credentials(weights) == weights
    own = {"CATFISH_LOG_SECRET_AWS_ACCESS_KEY_ID": "b"}
    assert stores.credentials(weights | own) == {"AWS_ACCESS_KEY_ID": "b"}


def test_what_kafkas_secret_lacks_is_taken_from_the_environment():
    env = {"KAFKA_SECURITY_PROTOCOL": "SASL_SSL", "KAFKA_SASL_PASSWORD": "a", "AWS_REGION": "here"}
    own = {"CATFISH_LOG_SECRET_KAFKA_SASL_PASSWORD": "b"}
    assert stores.credentials(env | own) == {
        "KAFKA_SECURITY_PROTOCOL": "SASL_SSL",
        "KAFKA_SASL_PASSWORD": "b",
    }
