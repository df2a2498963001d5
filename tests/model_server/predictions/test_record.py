import json
import re
from pathlib import Path

import numpy as np
import pytest

from catfish_server.predictions import record as records
from catfish_server.predictions.record import FIELDS, Origin, Record, encode

from .conftest import ORIGIN, record

PAGE = (Path(__file__).parents[3] / "docs" / "prediction-log.md").read_text()
TYPES = {"integer": int, "string": str, "number": (int, float), "object": dict}


def full(**fields):
    rng = np.random.default_rng(7)
    return record(
        uuid="1b4e28ba-2fa1-4d3b-a3f5-ef19b5a7633b",
        time=1_700_000_000.25,
        user="ann",
        probability=0.75,
        predict_time=0.0123456789,
        input=rng.standard_normal((3, 4, 5)).astype(np.float32),
        output=np.array([1.5, -2.0], dtype=np.float32),
        **fields,
    )


def test_a_record_is_one_line_of_json():
    line = encode(full(), ORIGIN)
    assert line.endswith(b"\n")
    assert line.count(b"\n") == 1
    read = json.loads(line)
    assert read.pop("tensors").keys() == {"input", "output"}
    assert read == {
        "schema": 1,
        "kind": "prediction",
        "uuid": "1b4e28ba-2fa1-4d3b-a3f5-ef19b5a7633b",
        "time": "2023-11-14T22:13:20.250000Z",
        "model": "cat",
        "revision": "cat-0123456789",
        "weights_sha256": "a" * 64,
        "request_id": "r",
        "user": "ann",
        "image": "https://example.com/a.jpg",
        "prediction": "cat",
        "probability": 0.75,
        "predict_time": 0.012346,
    }


def test_what_is_not_known_is_not_there():
    bare = Record(kind="feedback", uuid="u", time=0.0, request_id="r", label="fish")
    assert json.loads(encode(bare, Origin())) == {
        "schema": 1,
        "kind": "feedback",
        "uuid": "u",
        "time": "1970-01-01T00:00:00.000000Z",
        "request_id": "r",
        "label": "fish",
    }


@pytest.mark.parametrize("text", ["Käfer\u2028", 'a"b\\', "line\nbreak", "\ud800", "\x00"])
def test_no_text_of_a_caller_ends_a_line(text):
    line = encode(record(user=text, image=text), ORIGIN)
    assert line.isascii()
    assert line.count(b"\n") == 1
    assert json.loads(line)["user"] == text


def test_tensors_come_back_as_they_were():
    made = full()
    tensors = json.loads(encode(made, ORIGIN))["tensors"]
    assert tensors["input"]["shape"] == [3, 4, 5]
    for name, array in (("input", made.input), ("output", made.output)):
        read = records.array(tensors[name])
        assert read.dtype == np.float32
        assert np.array_equal(read, array)


def test_a_tensor_of_any_strides_is_written_in_the_order_of_its_indices():
    array = np.arange(24, dtype=np.float32).reshape(2, 3, 4).transpose(2, 0, 1)
    assert np.array_equal(records.array(records.tensor(array)), array)


@pytest.mark.parametrize(
    "value",
    [{}, {"dtype": "int8", "shape": [1], "data": ""}, {"dtype": "float32", "shape": [2], "data": "AAAA"}],
)
def test_what_is_no_tensor_is_refused(value):
    with pytest.raises(ValueError, match=r".+"):
        records.array(value)


def test_the_size_of_a_line_is_estimated_from_above_and_not_by_much():
    for one in (record(), full(), record(image="x" * 2000, user="y" * 256)):
        assert len(encode(one, ORIGIN)) <= one.size <= len(encode(one, ORIGIN)) + 700


def test_the_page_lists_every_field_with_its_type_in_the_order_of_a_line():
    rows = re.findall(r"^\| `(\w+)` \| (\w+) \|", PAGE.split("## The record")[1], re.MULTILINE)
    assert rows == list(FIELDS.items())
    line = json.loads(encode(full(label="cat"), ORIGIN))
    assert list(line) == list(FIELDS)
    assert all(isinstance(line[name], TYPES[kind]) for name, kind in FIELDS.items())
