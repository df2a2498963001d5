import base64
import json

import numpy as np
import pytest

from catfish_server import cpus
from catfish_server.protocol import tensors

INFER = "/v2/models/catfish/infer"


def images(*encoded, **more):
    data = [base64.b64encode(one).decode() for one in encoded]
    tensor = {"name": "images", "datatype": "BYTES", "shape": [len(data)], "data": data}
    return {"inputs": [tensor], **more}


def plain(pixels, **more):
    tensor = {
        "name": "pixels",
        "datatype": "FP32",
        "shape": list(pixels.shape),
        "data": pixels.ravel().tolist(),
    }
    return {"inputs": [tensor], **more}


def binary(document, *raw):
    """The body of a request with tensors as bytes, and its header."""
    for tensor, data in zip(document["inputs"], raw, strict=True):
        tensor.pop("data")
        tensor["parameters"] = {"binary_data_size": len(data)}
    head = json.dumps(document).encode()
    return b"".join([head, *raw]), {"Inference-Header-Content-Length": str(len(head))}


def named(response):
    return {output["name"]: output for output in response.get_json()["outputs"]}


def error(response, status):
    assert response.status_code == status, response.text
    assert response.content_type == "application/json"
    (name,) = response.get_json()
    assert name == "error"
    assert response.headers["X-Request-Id"]
    return response.get_json()["error"]


def test_the_server_and_the_model_describe_themselves(client_of, classifier):
    client = client_of(return_probabilities=True)
    told = client.get("/v2").get_json()
    assert (told["name"], told["extensions"]) == ("catfish", ["binary_tensor_data", "classification"])
    model = {
        "name": "catfish",
        "versions": ["catfish-0123456789"],
        "platform": "pytorch_state_dict",
        "inputs": [
            {"name": "images", "datatype": "BYTES", "shape": [-1]},
            {"name": "pixels", "datatype": "FP32", "shape": [-1, 3, 32, 32]},
        ],
        "outputs": [
            {"name": "label", "datatype": "BYTES", "shape": [-1]},
            {"name": "probability", "datatype": "FP32", "shape": [-1]},
            {"name": "probabilities", "datatype": "FP32", "shape": [-1, 2]},
            {"name": "logits", "datatype": "FP32", "shape": [-1, 2]},
        ],
    }
    told = client.get("/v2/models/catfish").get_json()
    assert told.pop("parameters") == {
        "engine": classifier.runtime.engine,
        "device": "cpu",
        "instruction_set": cpus.instruction_set(),
    }
    assert told == model
    assert client.get("/v2/models/catfish/versions/catfish-0123456789").get_json().items() > model.items()


def test_a_model_that_keeps_its_probabilities_does_not_list_them(client_of):
    outputs = client_of().get("/v2/models/catfish").get_json()["outputs"]
    assert [output["name"] for output in outputs] == ["label", "probability"]


@pytest.mark.parametrize("path", ["/v2/health/live", "/v2/health/ready", "/v2/models/catfish/ready"])
def test_health_is_a_status(client_of, path):
    assert client_of().get(path).status_code == 200


def test_images_in_base64_get_the_classes_that_predict_gives(client_of, jpeg):
    client = client_of(return_probabilities=True)
    single = client.post("/predict?probabilities=true", data=jpeg, content_type="image/jpeg").get_json()
    response = client.post(INFER, json=images(jpeg, jpeg, id="n1"))
    assert response.get_json()["id"] == "n1"
    assert response.get_json()["model_name"] == "catfish"
    assert response.get_json()["model_version"] == response.headers["X-Catfish-Revision"]
    found = named(response)
    assert found["label"] == {
        "name": "label",
        "datatype": "BYTES",
        "shape": [2],
        "data": [single["prediction"]] * 2,
    }
    assert found["probability"]["data"] == pytest.approx([single["probability"]] * 2, abs=1e-5)
    assert found["probabilities"]["shape"] == [2, 2]
    assert found["probabilities"]["data"] == pytest.approx([*single["probabilities"].values()] * 2, abs=1e-5)
    assert "logits" not in found


@pytest.mark.parametrize("nested", [False, True])
def test_preprocessed_pixels_get_the_outputs_of_the_model(client_of, classifier, pixels, nested):
    body = plain(pixels)
    if nested:
        body["inputs"][0]["data"] = pixels.tolist()
    found = named(client_of(return_probabilities=True).post(INFER, json=body))
    logits = classifier.infer(pixels.copy())
    assert np.array(found["logits"]["data"]).reshape(2, 2) == pytest.approx(logits, abs=1e-5)
    wanted = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    assert np.array(found["probabilities"]["data"]).reshape(2, 2) == pytest.approx(wanted, abs=1e-5)
    assert found["label"]["data"] == [("cat", "fish")[index] for index in wanted.argmax(axis=1)]


def test_pixels_below_the_threshold_are_unknown(client_of, pixels):
    assert (
        named(client_of(unknown_threshold=1.0).post(INFER, json=plain(pixels)))["label"]["data"]
        == ["unknown"] * 2
    )


def test_pixels_are_counted_by_class_and_timed_like_images(client_of, pixels):
    client = client_of()
    labels = named(client.post(INFER, json=plain(pixels)))["label"]["data"]
    lines = client.metrics.text().decode().splitlines()
    assert "catfish_images_total 2.0" in lines
    assert "catfish_request_duration_seconds_count 1.0" in lines
    assert f'catfish_predictions_total{{label="{labels[0]}"}} {labels.count(labels[0])}.0' in lines


def test_tensors_come_and_go_as_bytes(client_of, pixels):
    client = client_of(return_probabilities=True)
    expected = named(client.post(INFER, json=plain(pixels)))
    wanted = [{"name": name} for name in ("probabilities", "label")]
    wanted[1]["parameters"] = {"binary_data": False}
    document = plain(pixels, outputs=wanted, parameters={"binary_data_output": True})
    body, headers = binary(document, pixels.tobytes())
    response = client.post(INFER, data=body, headers=headers)
    assert response.content_type == "application/octet-stream"
    split = int(response.headers["Inference-Header-Content-Length"])
    first, second = json.loads(response.data[:split])["outputs"]
    assert second == expected["label"]
    assert first["parameters"] == {"binary_data_size": 16}
    assert np.frombuffer(response.data[split:], "<f4") == pytest.approx(expected["probabilities"]["data"])


def test_images_come_and_labels_go_as_bytes(client_of, jpeg):
    client = client_of()
    (label,) = named(client.post(INFER, json=images(jpeg)))["label"]["data"]
    document = images(jpeg, outputs=[{"name": "label", "parameters": {"binary_data": True}}])
    document["inputs"][0]["shape"] = [1, 1]
    raw = tensors.Tensor(name="images", data=[jpeg], shape=(1,)).raw()
    body, headers = binary(document, raw)
    response = client.post(INFER, data=body, headers=headers)
    split = int(response.headers["Inference-Header-Content-Length"])
    assert response.data[split:] == len(label).to_bytes(4, "little") + label.encode()


def test_the_best_classes_are_told_by_name(client_of, pixels):
    wanted = [{"name": "logits", "parameters": {"classification": 9}}]
    client = client_of(return_probabilities=True)
    logits = np.array(named(client.post(INFER, json=plain(pixels)))["logits"]["data"]).reshape(2, 2)
    output = named(client.post(INFER, json=plain(pixels, outputs=wanted)))["logits"]
    assert (output["datatype"], output["shape"]) == ("BYTES", [2, 2])
    best = int(logits[0].argmax())
    assert output["data"][0] == f"{logits[0, best]:f}:{best}:{('cat', 'fish')[best]}"
