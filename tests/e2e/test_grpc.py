"""The Open Inference Protocol by gRPC, through the port of the Service that the spec opens for it."""

import socket
from urllib.parse import urlsplit

import pytest

from demo import model
from demo.kube import wait_for
from tests.asking import answering, photograph
from tests.conformance import clients

pytestmark = pytest.mark.e2e
PORT = 9000
SIDE = model.manifest("catfish")["spec"]["model"]["imageSize"]


def _accepts(host):
    try:
        socket.create_connection((host, PORT), timeout=2).close()
    except OSError:
        return False
    return True


def test_kserves_client_is_answered_by_grpc_through_the_service_as_by_rest(
    kube, namespace, applied, tmp_path
):
    may = {"returnProbabilities": True}
    applied(prediction=may)
    address = answering(model.url(kube, "catfish", namespace))
    host = urlsplit(address).hostname
    assert not _accepts(host)
    (before,) = model.pods(kube, "catfish", namespace)
    applied(prediction=may, service={"grpcPort": PORT})
    wait_for("the port of gRPC", lambda: _accepts(host), seconds=30)
    (after,) = model.pods(kube, "catfish", namespace)
    assert after["metadata"]["uid"] == before["metadata"]["uid"], "no pod is restarted for it"

    picture = tmp_path / "cat.png"
    picture.write_bytes(photograph())
    told = clients.run("kserve_client.py", address, f"{host}:{PORT}", picture, "catfish", SIDE)
    rest, grpc = told["rest"], told["grpc"]
    assert [grpc[name] for name in ("live", "ready", "model")] == [True] * 3
    for way in ("binary", "pixels", "binary pixels"):
        assert (grpc[way]["id"], grpc[way]["model"]) == ("n1", "catfish")
        by_rest, by_grpc = rest[way]["outputs"], grpc[way]["outputs"]
        assert by_grpc["label"] == by_rest["label"]
        assert by_grpc["probabilities"] == pytest.approx(by_rest["probabilities"], abs=1e-4)
    assert grpc["pixels"]["outputs"]["logits"] == pytest.approx(rest["pixels"]["outputs"]["logits"], abs=1e-4)
    assert grpc["binary"]["outputs"]["label"] == ["cat"] * 2
    assert [answer["outputs"]["label"] for answer in grpc["many"]] == [["cat"]] * 16
    assert grpc["refusal"][0] == "INVALID_ARGUMENT"

    applied(prediction=may)
    wait_for("the port of gRPC to be closed", lambda: not _accepts(host), seconds=30)
    assert model.ask(address, photograph()).body["prediction"] == "cat"
