"""A real broker: Apache Kafka in KRaft mode."""

import json
import time
import uuid
from collections import Counter

import pytest
from confluent_kafka import Consumer, KafkaError, Producer, TopicPartition

from catfish_server.errors import InvalidSpec
from catfish_server.predictions import __main__ as command
from catfish_server.predictions import destination
from catfish_server.predictions.record import encode
from catfish_server.predictions.sinks.kafka import Kafka
from catfish_server.predictions.sinks.sink import Batch, Line, Unavailable

from . import broker
from .conftest import ORIGIN, batch, record, until

pytestmark = pytest.mark.integration

USERS = {"catfish": "a-password-of-tests"}
KEYS = {
    "KAFKA_SECURITY_PROTOCOL": "SASL_PLAINTEXT",
    "KAFKA_SASL_MECHANISM": "PLAIN",
    "KAFKA_SASL_USERNAME": "catfish",
    "KAFKA_SASL_PASSWORD": USERS["catfish"],
}


@pytest.fixture(scope="module")
def kafka(tmp_path_factory):
    with broker.broker(tmp_path_factory.mktemp("kafka"), users=USERS) as started:
        yield started


@pytest.fixture
def topic(kafka):
    name = f"predictions-{uuid.uuid4().hex[:8]}"
    kafka.create(name)
    return name


def opened(kafka, topic, env=KEYS):
    return Kafka(destination.of_url(f"kafka://{kafka.address}/{topic}"), env, source="/catfish/cat")


def written(sink, one):
    """Writes a batch as the log does, which comes again while the client is being connected."""
    deadline = time.monotonic() + 30
    while True:
        try:
            return sink.write(one)
        except Unavailable:
            assert time.monotonic() < deadline


def messages(kafka, topic):
    """Everything that a topic holds."""
    consumer = Consumer(kafka.client() | {"group.id": "tests", "enable.auto.commit": False})
    found = []
    for number in consumer.list_topics(topic, timeout=10).topics[topic].partitions:
        first, end = consumer.get_watermark_offsets(TopicPartition(topic, number), timeout=10)
        consumer.assign([TopicPartition(topic, number, first)])
        deadline = time.monotonic() + 20
        while first < end:
            assert time.monotonic() < deadline
            if (message := consumer.poll(1)) and not message.error():
                found.append(message)
                first = message.offset() + 1
    consumer.close()
    return found


def length(kafka, topic):
    """How many records and marks a topic holds."""
    consumer = Consumer(kafka.client() | {"group.id": "tests"})
    numbers = consumer.list_topics(topic, timeout=10).topics[topic].partitions
    ranges = [consumer.get_watermark_offsets(TopicPartition(topic, each), timeout=10) for each in numbers]
    consumer.close()
    return sum(end - first for first, end in ranges)


def test_a_record_is_a_cloud_event_keyed_by_its_uuid(kafka, topic):
    sink = opened(kafka, topic)
    feedback = Line(data=b'{"label":"fish"}\n', kind="feedback", uuid="u-1", time=1_700_000_000.25)
    one = batch("u-1", seconds=1_700_000_000.0)
    assert written(sink, Batch(number=0, time=0, lines=(*one.lines, feedback))) == 0
    first, second = messages(kafka, topic)
    assert (first.key(), first.value()) == (b"u-1", b'{"uuid":"u-1"}')
    assert dict(first.headers()) == {
        "ce_specversion": b"1.0",
        "ce_id": b"u-1",
        "ce_source": b"/catfish/cat",
        "ce_type": b"dev.catfish.prediction.v1",
        "ce_time": b"2023-11-14T22:13:20.000000Z",
        "content-type": b"application/json",
    }
    assert (second.key(), second.partition()) == (b"u-1", first.partition())
    assert dict(second.headers())["ce_type"] == b"dev.catfish.feedback.v1"
    assert dict(second.headers())["ce_id"] == b"u-1/feedback/2023-11-14T22:13:20.250000Z"


def test_every_record_arrives_once_and_is_exported_with_its_feedback(kafka, topic, logged, tmp_path):
    made = logged(opened(kafka, topic))
    sent = [name for name, _ in made.send(2000)]
    for name in sent[:100]:
        made.log.send_to_log(record(kind="feedback", uuid=name, label="fish", image=None, prediction=None))
    until(lambda: made.count("delivered_total") == 2100, seconds=120)
    values = [json.loads(message.value()) for message in messages(kafka, topic)]
    assert Counter(value["uuid"] for value in values if value["kind"] == "prediction") == Counter(sent)
    out = tmp_path / "train.csv"
    assert command.run(["export", f"kafka://{kafka.address}/{topic}", str(out)], KEYS) == 0
    assert len(out.read_text().splitlines()) == 101


def test_a_topic_that_ends_with_the_mark_of_a_transaction_is_exported(kafka, topic, tmp_path):
    producer = Producer(kafka.client() | {"transactional.id": topic})
    producer.init_transactions(30)
    producer.begin_transaction()
    producer.produce(topic, encode(record(uuid="a"), ORIGIN))
    producer.commit_transaction(30)
    until(lambda: length(kafka, topic) == 2)  # the mark is written after the commit is answered
    out = tmp_path / "train.csv"
    words = ["export", f"kafka://{kafka.address}/{topic}", str(out), "--unlabelled"]
    assert command.run(words, KEYS) == 0
    assert len(out.read_text().splitlines()) == 2


@pytest.mark.parametrize("how", ["stopped", "silent"])
def test_a_broker_that_is_down_for_a_while_gets_every_record_once_afterwards(kafka, topic, logged, how):
    made = logged(opened(kafka, topic), max_records=500)
    made.send(50)
    until(lambda: made.count("delivered_total") == 50)
    kafka.stop() if how == "stopped" else kafka.pause()
    try:
        sent = made.send(700)
        until(lambda: made.count("failures_total") > 2)
    finally:
        kafka.start() if how == "stopped" else kafka.resume()
    assert made.dropped() == {"records": 200}
    until(lambda: made.count("delivered_total") == 550, seconds=60)
    arrived = Counter(message.key().decode() for message in messages(kafka, topic))
    assert set(arrived.values()) == {1}
    assert {name for name, taken in sent if taken} <= arrived.keys()
    assert not {name for name, taken in sent if not taken} & arrived.keys()


def test_a_record_that_is_too_large_for_the_topic_is_refused_and_the_others_arrive(kafka, logged):
    topic = f"small-{uuid.uuid4().hex[:8]}"
    kafka.create(topic, **{"max.message.bytes": "4000"})
    made = logged(opened(kafka, topic))
    made.send(1, user="".join(uuid.uuid4().hex for _ in range(1000)))  # compression does not help
    until(lambda: made.dropped() == {"refused": 1})
    made.send(5)
    until(lambda: made.count("delivered_total") == 5)


def test_records_that_are_too_large_together_for_the_topic_all_arrive(kafka):
    topic = f"small-{uuid.uuid4().hex[:8]}"
    kafka.create(topic, partitions=1, **{"max.message.bytes": "4000"})
    sink = opened(kafka, topic)
    assert written(sink, batch("first")) == 0  # the client is connected, and sends what follows at once
    names = ["".join(uuid.uuid4().hex for _ in range(10)) for _ in range(30)]
    too_large = "".join(uuid.uuid4().hex for _ in range(200))
    assert written(sink, batch(*names, too_large, number=1)) == 1
    assert Counter(message.key().decode() for message in messages(kafka, topic)) == Counter(["first", *names])


def test_a_topic_that_is_made_late_gets_what_has_waited(kafka, logged):
    topic = f"late-{uuid.uuid4().hex[:8]}"
    made = logged(opened(kafka, topic))
    made.send(20)
    until(lambda: made.count("failures_total") > 1)
    kafka.create(topic)
    until(lambda: made.count("delivered_total") == 20, seconds=60)
    assert len(messages(kafka, topic)) == 20


def test_a_wrong_password_is_told_of_and_not_shown(kafka, topic, capfd):
    sink = opened(kafka, topic, KEYS | {"KAFKA_SASL_PASSWORD": "hunter2"})
    problems = set()

    def authentication():
        with pytest.raises(Unavailable) as failed:
            sink.write(batch("1"))
        problems.add(str(failed.value))
        return any("_AUTHENTICATION" in problem for problem in problems)

    until(authentication)
    sink.close()
    assert not any("hunter2" in text for text in (*problems, *capfd.readouterr()))


def test_a_client_that_has_given_up_is_replaced(kafka, topic):
    sink = opened(kafka, topic)
    assert written(sink, batch("1")) == 0
    first = sink._producer
    sink._failed(KafkaError(KafkaError._FATAL, "for good", fatal=True))
    assert written(sink, batch("2", number=1)) == 0
    assert sink._producer is not first
    assert sorted(message.key() for message in messages(kafka, topic)) == [b"1", b"2"]


def test_settings_that_make_no_client_end_the_start(kafka):
    with pytest.raises(InvalidSpec, match=r"^spec\.logging\.predictions\.credentialsSecretRef: its KAFKA_"):
        opened(kafka, "t", {"KAFKA_SECURITY_PROTOCOL": "hunter2"})


def test_a_producer_is_closed_at_once_whatever_it_holds(kafka, topic):
    sink = opened(kafka, topic)
    kafka.pause()
    try:
        with pytest.raises(Unavailable):
            sink.write(batch("1"))
        began = time.monotonic()
        sink.close()
        del sink
        assert time.monotonic() - began < 2
    finally:
        kafka.resume()
