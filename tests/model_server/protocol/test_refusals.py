import json

import pytest

from tests.model_server.protocol.test_rest import INFER, binary, error, images, plain


def replaced(**fields):
    def change(document):
        document["inputs"][0].update(fields)
        return document

    return change


BAD = {
    "no input": (lambda _: {"inputs": []}, 400, "inputs: "),
    "no inputs": (lambda _: {}, 400, "inputs: "),
    "two inputs": (lambda body: {"inputs": body["inputs"] * 2}, 400, "inputs: "),
    "inputs no list": (lambda _: {"inputs": {}}, 400, "inputs: "),
    "another name": (replaced(name="x"), 400, "inputs[0].name: "),
    "a name that is none": (replaced(name=[]), 400, "inputs[0].name: "),
    "another datatype": (replaced(datatype="FP64"), 400, "inputs[0].datatype: "),
    "another shape": (replaced(shape=[2, 32, 32, 3]), 400, "inputs[0].shape: "),
    "a shape of words": (replaced(shape=["2"]), 400, "inputs[0].shape: "),
    "a shape of truths": (replaced(shape=[True, 3, 32, 32]), 400, "inputs[0].shape: "),
    "more than the limit": (replaced(shape=[33, 3, 32, 32]), 400, "inputs[0].shape: A call takes 1 to 32 "),
    "none": (replaced(shape=[0, 3, 32, 32], data=[]), 400, "inputs[0].shape: "),
    "too few elements": (replaced(data=[1.0]), 400, "inputs[0].data: The shape has 6144 elements"),
    "words for numbers": (replaced(data=["1"] * 6144), 400, "inputs[0].data: "),
    "ragged rows": (replaced(data=[[1], [1, 2]]), 400, "inputs[0].data: "),
    "infinity": (replaced(data=[1e39] * 6144), 400, "inputs[0].data: "),
    "values beyond the model": (replaced(data=[3.4e38] * 6144), 400, "inputs[0].data: "),
    "no data": (lambda body: (body["inputs"][0].pop("data"), body)[1], 400, "inputs[0].data: "),
    "data that are not there": (
        lambda body: (body["inputs"][0].pop("data"), replaced(parameters={"binary_data_size": 4})(body))[1],
        400,
        "inputs[0].parameters.binary_data_size: ",
    ),
    "a size below nothing": (
        replaced(parameters={"binary_data_size": -1}),
        400,
        "inputs[0].parameters.binary_data_size: ",
    ),
    "data twice": (replaced(parameters={"binary_data_size": 0}), 400, "inputs[0].data: "),
    "an output unknown": (lambda body: body | {"outputs": [{"name": "x"}]}, 400, "outputs[0].name: "),
    "an output twice": (lambda body: body | {"outputs": [{"name": "label"}] * 2}, 400, "outputs: "),
    "an output that is kept": (lambda body: body | {"outputs": [{"name": "logits"}]}, 403, "probabilities: "),
    "classes of a label": (
        lambda body: body | {"outputs": [{"name": "label", "parameters": {"classification": 1}}]},
        400,
        "outputs[0].parameters.classification: ",
    ),
    "an id that is none": (lambda body: body | {"id": 1}, 400, "id: "),
    "parameters that are none": (lambda body: body | {"parameters": []}, 400, "parameters: "),
    "a flag that is none": (
        lambda body: body | {"parameters": {"binary_data_output": 1}},
        400,
        "parameters.binary_data_output: ",
    ),
}


@pytest.mark.parametrize(("change", "status", "beginning"), BAD.values(), ids=BAD)
def test_what_is_wrong_is_named(client_of, pixels, change, status, beginning):
    response = client_of().post(INFER, json=change(plain(pixels)))
    assert error(response, status).startswith(beginning)


@pytest.mark.parametrize("value", ["", "-1", "+5", "1_0", "\u0665", "9" * 30, "999999", "5.0"])
def test_a_length_of_the_header_that_cannot_be_is_named(client_of, pixels, value):
    body = json.dumps(plain(pixels)).encode()
    response = client_of().post(INFER, data=body, headers={"Inference-Header-Content-Length": value})
    assert error(response, 400).startswith("Inference-Header-Content-Length: ")


@pytest.mark.parametrize(
    ("raw", "beginning"),
    [
        (b"", "inputs[0]: The data end after 0 of 1 elements."),
        (b"\x05\0\0\0abc", "inputs[0]: Element 0 is longer than the data."),
        (b"\x01\0\0\0ab", "inputs[0]: There are 1 bytes behind the last element."),
        (b"\xff\xff\xff\xff", "inputs[0]: Element 0 is longer"),
        (b"\x03\0\0\0abc", "The bytes are none of "),
    ],
)
def test_bytes_that_are_not_the_tensor_are_refused(client_of, raw, beginning):
    body, headers = binary(images(b""), raw)
    response = client_of().post(INFER, data=body, headers=headers)
    assert beginning in error(response, response.status_code)
    assert response.status_code in {400, 415}


def test_bytes_behind_the_last_tensor_are_refused(client_of, pixels):
    body, headers = binary(plain(pixels), pixels.tobytes())
    assert error(client_of().post(INFER, data=body + b"x", headers=headers), 400).startswith("inputs: ")


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/v2/models/dog", 404),
        ("GET", "/v2/models/dog/ready", 404),
        ("GET", "/v2/models/catfish/versions/2", 404),
        ("POST", "/v2/models/dog/infer", 404),
        ("GET", "/v2/nothing", 404),
        ("GET", INFER, 405),
        ("POST", "/v2", 405),
        ("POST", INFER, 400),
    ],
)
def test_every_error_below_v2_is_one_of_the_protocol(client_of, method, path, status):
    assert error(client_of().open(path, method=method), status)


def test_errors_elsewhere_stay_problems(client_of, problem):
    problem(client_of().get("/v3"), 404)


def test_a_compressed_body_is_refused(client_of):
    response = client_of().post(INFER, data=b"x", headers={"Content-Encoding": "gzip"})
    assert error(response, 415).startswith("Content-Encoding: ")


def test_a_body_beyond_the_limit_is_refused(client_of):
    assert error(client_of(max_body_bytes=100).post(INFER, data=b"x" * 101), 413)


def test_more_brackets_than_any_tensor_has_are_refused(client_of):
    assert "brackets" in error(client_of().post(INFER, data=b"[" * 100_000), 400)


def test_calls_are_counted_by_their_path_and_never_by_a_name_that_strangers_invent(client_of, pixels):
    client = client_of()
    client.post(INFER, json=plain(pixels))
    for path in ("/v2", "/v2/models/a", "/v2/models/b", "/v2/models/a/versions/1/ready", "/v2/x/y"):
        client.get(path)
    text = client.metrics.text().decode()
    assert 'catfish_requests_total{code="200",path="/v2/models/{model}/infer"} 1.0' in text
    assert 'catfish_requests_total{code="404",path="/v2/models/{model}"} 2.0' in text
    assert 'catfish_requests_total{code="404",path="/v2/models/{model}/ready"} 1.0' in text
    assert 'catfish_requests_total{code="404",path="other"} 1.0' in text
