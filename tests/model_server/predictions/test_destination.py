from pathlib import Path

import pytest

from catfish_server.errors import InvalidSpec
from catfish_server.predictions.destination import SINKS, URLS, Destination, of_url, parse


@pytest.mark.parametrize(
    ("sink", "url", "expected"),
    [
        ("none", None, Destination(sink="none")),
        ("stdout", None, Destination(sink="stdout")),
        ("file", "file:///tmp/a%20b.jsonl", Destination(sink="file", path=Path("/tmp/a b.jsonl"))),
        ("s3", "s3://logs", Destination(sink="s3", bucket="logs")),
        ("gs", "gs://logs/a/b/", Destination(sink="gs", bucket="logs", prefix="a/b")),
        ("az", "az://logs/a b", Destination(sink="az", bucket="logs", prefix="a b")),
        ("kafka", "kafka://a:9092/t", Destination(sink="kafka", brokers="a:9092", topic="t")),
        ("kafka", "kafka://a,[::1]:9093/t.1", Destination(sink="kafka", brokers="a,[::1]:9093", topic="t.1")),
    ],
)
def test_a_sink_and_its_url_mean_a_destination(sink, url, expected):
    assert parse(sink, url) == expected


@pytest.mark.parametrize(
    ("sink", "url"),
    [
        ("stdout", "file:///tmp/a"),
        ("none", "s3://logs"),
        *((sink, None) for sink in URLS),
        ("file", "s3://logs"),
        ("file", "file:///tmp/"),
        ("file", "file://host/a"),
        ("s3", "gs://logs"),
        ("s3", "s3://"),
        ("s3", "s3://logs?X-Amz-Signature=hunter2"),
        ("s3", "s3://me:hunter2@logs"),
        ("kafka", "kafka://a:9092"),
        ("kafka", "kafka://a:9092/t/hunter2"),
        ("kafka", "kafka://me:hunter2@a:9092/t"),
        ("kafka", "kafka://a b/t"),
        ("kafka", "a:9092/t"),
    ],
)
def test_what_does_not_belong_together_is_refused_without_showing_it(sink, url):
    with pytest.raises(InvalidSpec, match=r"^spec\.logging\.predictions\.url: must ") as refused:
        parse(sink, url)
    assert "hunter2" not in str(refused.value)


def test_a_url_alone_names_its_sink():
    assert of_url("predictions.jsonl") == Destination(sink="file", path=Path("predictions.jsonl"))
    assert of_url("kafka://a/t").sink == "kafka"
    with pytest.raises(InvalidSpec, match="ftp:// is not supported"):
        of_url("ftp://a/b")


def test_every_sink_has_its_example():
    assert [parse(sink, URLS.get(sink)).sink for sink in SINKS] == list(SINKS)
