"""Messages of many fields, which take far more memory parsed than sent."""

import pytest

from catfish_server.protocol import wire
from catfish_server.protocol.errors import BadInference
from catfish_server.protocol.generated import open_inference_pb2 as pb
from tests.model_server.protocol.test_calls import Context, ask, classifier, gate  # noqa: F401 (fixtures)

IMAGES = 32
MANY = 5_000_000


def check(data, kind=pb.ModelInferRequest):
    wire.require_few(data, kind.DESCRIPTOR, max_images=IMAGES)


def told(data):
    try:
        check(data)
    except BadInference as error:
        return error.detail
    return ""


def field(number, payload):
    """A field of a length in two bytes at most."""
    length = len(payload)
    assert length < 2**14
    return (
        bytes([number << 3 | 2, length & 0x7F | (0x80 if length >> 7 else 0)])
        + (bytes([length >> 7]) if length >> 7 else b"")
        + payload
    )


def largest():
    """As much as a call may bring: every tensor, and all images of it as fields of their own."""
    request = pb.ModelInferRequest(model_name="catfish", model_version="v", id="n")
    for _ in range(wire.MAX_TENSORS):
        tensor = request.inputs.add(name="pixels", datatype="FP32", shape=[IMAGES, 3, 2**40, 2**40])
        output = request.outputs.add(name="label")
        for number in range(3):
            tensor.parameters[str(number)].string_param = "x"
            output.parameters[str(number)].int64_param = 2**63 - 1
        request.raw_input_contents.append(b"x")
    request.inputs[0].contents.bytes_contents.extend([b"x"] * IMAGES)
    request.inputs[1].contents.fp32_contents.extend([0.5] * 100_000)
    return request.SerializeToString()


def test_the_largest_call_and_an_empty_message_are_let_through():
    check(largest())
    check(b"")
    check(pb.ModelReadyRequest(name="catfish").SerializeToString(), pb.ModelReadyRequest)


@pytest.mark.parametrize(
    ("data", "name"),
    [(b"\x2a\x00", "inputs"), (b"\x32\x00", "outputs"), (b"\x3a\x00", "raw_input_contents")],
)
def test_more_tensors_than_rest_takes_are_refused(data, name):
    check(data * 16)
    with pytest.raises(BadInference, match="There are more than 16") as caught:
        check(data * 17)
    assert caught.value.field == name


@pytest.mark.parametrize(
    ("data", "name"),
    [
        pytest.param(b"\x22\x00" * 2000, "parameters", id="parameters"),
        pytest.param(b"\x0a\x00" * 2000, "model_name", id="a name again and again"),
        pytest.param(b"\x78\x01" * 2000, None, id="unknown numbers"),
        pytest.param(field(15, b"") * 2000, None, id="unknown bytes"),
        pytest.param(b"\x7d1234" * 2000, None, id="unknown four bytes"),
        pytest.param(b"\x7912345678" * 2000, None, id="unknown eight bytes"),
        pytest.param(field(5, b"\x18\x01" * 2000), "inputs.shape", id="sizes"),
        pytest.param(field(5, b"\x22\x00" * 2000), "inputs.parameters", id="parameters of an input"),
        pytest.param(field(6, b"\x12\x00" * 2000), "outputs.parameters", id="parameters of an output"),
        pytest.param(
            field(5, field(5, b"\x42\x00" * 2000)), "inputs.contents.bytes_contents", id="elements of bytes"
        ),
        pytest.param(
            field(4, field(2, b"\x08\x01" * 2000)), "parameters.value.bool_param", id="in a parameter"
        ),
    ],
)
def test_more_fields_than_a_call_needs_are_refused_wherever_they_are(data, name):
    with pytest.raises(BadInference, match="more than 1056 fields") as caught:
        check(data)
    assert caught.value.field == name


@pytest.mark.parametrize(
    ("data", "name"),
    [
        pytest.param(field(5, field(3, bytes(1025))), "inputs.shape", id="sizes"),
        pytest.param(
            field(5, field(5, field(2, bytes(1025)))), "inputs.contents.int_contents", id="elements"
        ),
    ],
)
def test_integers_that_grow_when_they_are_parsed_are_limited(data, name):
    with pytest.raises(BadInference, match="more than 1024 bytes") as caught:
        check(data)
    assert caught.value.field == name


@pytest.mark.parametrize(
    "data", [b"\xff\xff", b"\x2a", b"\x2a\x05ab", b"\x2b\x2c", b"\x7d12", b"\xff" * 11, b"\x08"]
)
def test_what_is_no_message_is_told_so(data):
    with pytest.raises(BadInference, match=r"The message cannot be read\."):
        check(data)


@pytest.mark.parametrize("cut", range(0, 400, 7))
def test_a_message_that_is_cut_never_fails_otherwise(cut):
    assert told(largest()[:cut]) in {"", "The message cannot be read."}


@pytest.mark.parametrize(("data", "name"), [(b"\x2a\x00", "inputs"), (b"\x32\x00", "outputs")])
def test_a_message_full_of_empty_tensors_is_not_parsed(ask, monkeypatch, data, name):  # noqa: F811
    monkeypatch.setattr(wire, "MAX_FIELDS", MANY)  # the tensors are too many long before
    context, counted = ask(Context(), iter([data * MANY]))
    assert (context.code.name, counted) == ("INVALID_ARGUMENT", [400])
    assert context.details == f"{name}: There are more than 16."
