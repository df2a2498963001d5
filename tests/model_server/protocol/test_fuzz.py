"""Whatever strangers send, the server answers it, and never as a failure of its own."""

import json

import grpc
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from catfish_server.protocol.calls import SERVICE
from catfish_server.protocol.generated import open_inference_pb2 as pb

INFER = "/v2/models/catfish/infer"
MANY = settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])

scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8)
anything = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=10,
)
sizes = st.sampled_from([-1, 0, 1, 2, 3, 32, 33, 2**31, 2**63 - 1, 2**64, True, 1.0, "1"])
shapes = st.sampled_from([[1], [1, 1], [1, 3, 32, 32], [2], []]) | st.lists(sizes, max_size=5) | anything
parameters = st.fixed_dictionaries(
    {},
    optional={
        "binary_data_size": st.integers(-2, 40) | st.just(12288) | anything,
        "binary_data": st.booleans() | anything,
        "binary_data_output": st.booleans() | anything,
        "classification": st.integers(-1, 5) | anything,
    },
)
data = (
    st.just([0.5] * 3072)
    | st.just([1e300] * 3072)
    | st.just(["AAAA"])
    | st.lists(st.lists(scalars, max_size=3), max_size=3)
    | anything
)
inputs = st.fixed_dictionaries(
    {"name": st.sampled_from(["images", "pixels"]) | anything},
    optional={
        "datatype": st.sampled_from(["BYTES", "FP32", "INT64"]) | anything,
        "shape": shapes,
        "data": data,
        "parameters": parameters | anything,
    },
)
outputs = st.fixed_dictionaries(
    {},
    optional={
        "name": st.sampled_from(["label", "probability", "probabilities", "logits"]) | anything,
        "parameters": parameters | anything,
    },
)
requests = st.fixed_dictionaries(
    {},
    optional={
        "id": st.text(max_size=5) | anything,
        "inputs": st.lists(inputs, max_size=2) | anything,
        "outputs": st.lists(outputs, max_size=3) | anything,
        "parameters": parameters | anything,
    },
)


def answered(response):
    assert response.status_code < 500, response.text
    if response.status_code != 200:
        assert set(response.get_json()) == {"error"}


@MANY
@given(document=requests, tail=st.binary(max_size=40) | st.just(b"\0" * 12288))
def test_no_json_and_no_bytes_behind_it_are_a_failure_of_the_server(client_of, document, tail):
    client = client_of(return_probabilities=True)
    head = json.dumps(document).encode()
    answered(client.post(INFER, data=head))
    headers = {"Inference-Header-Content-Length": str(len(head))}
    answered(client.post(INFER, data=head + tail, headers=headers))


@MANY
@given(
    body=st.binary(max_size=200),
    length=st.integers(-5, 300).map(str) | st.text(st.characters(codec="latin-1")),
)
def test_no_body_and_no_length_of_its_header_are_a_failure_of_the_server(client_of, body, length):
    kept = "".join(character for character in length if character.isprintable())
    answered(client_of().post(INFER, data=body, headers={"Inference-Header-Content-Length": kept}))


parts = {
    "name": st.sampled_from(["images", "pixels", ""]),
    "datatype": st.sampled_from(["BYTES", "FP32", ""]),
    "shape": st.sampled_from([[1], [1, 1], [1, 3, 32, 32], [2**62, 2**62], [-1], []]),
    "raw": st.lists(st.binary(max_size=20) | st.just(b"\0" * 12288), max_size=2),
    "typed": st.lists(st.binary(max_size=5), max_size=2),
    "wanted": st.lists(st.sampled_from(["label", "logits", "probabilities", "x"]), max_size=2),
}


def message(part):
    request = pb.ModelInferRequest(model_name="catfish", raw_input_contents=part["raw"])
    tensor = request.inputs.add(name=part["name"], datatype=part["datatype"], shape=part["shape"])
    tensor.contents.bytes_contents.extend(part["typed"])
    for output in part["wanted"]:
        request.outputs.add(name=output).parameters["classification"].int64_param = len(part["raw"])
    return request.SerializeToString()


@pytest.fixture
def infer(channel):
    return channel(return_probabilities=True).unary_unary(f"/{SERVICE}/ModelInfer")


@MANY
@given(data=st.fixed_dictionaries(parts).map(message) | st.binary(max_size=100))
def test_no_message_is_a_failure_of_the_server(infer, data):
    try:
        pb.ModelInferResponse.FromString(infer(data, timeout=30))
    except grpc.RpcError as error:
        expected = {grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.NOT_FOUND}
        assert error.code() in expected, error.details()  # noqa: PT017
