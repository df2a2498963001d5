"""What can be wrong with weights, a row each: what lies at their address, and what the server then says.

tests/model_server/test_bad_weights.py runs the server on every row; tests/integration/test_bad_weights.py shows that
the sentence of every reason arrives in the status of the model. What the server must not load is only made here.
"""

import gzip
import io
import json
import os
import struct
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

SIZE = 32
URL, SHA256 = "spec.weights.url", "spec.weights.sha256"
ARCHITECTURE, CLASSES, SAMPLES = "spec.model.architecture", "spec.model.classes", "spec.verification"

Answer = Callable[[BaseHTTPRequestHandler], None]
Variables = dict[str, object]


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where a row puts its weights.

    Attributes:
        directory: empty, for this row alone.
        good: weights of a resnet18 with two classes, which are right.
        serve: starts a web server that gives this answer to every request; returns the URL of weights on it. With
            `tls` it has a certificate that nobody vouches for.
    """

    directory: Path
    good: Path
    serve: Callable[..., str]

    def file(self, content: bytes, name: str = "w") -> Variables:
        """Variables that name a file with this content."""
        (self.directory / name).write_bytes(content)
        return {"CATFISH_MODEL_LOCATION": self.directory / name}

    def answering(self, answer: Answer, **options: bool) -> Variables:
        """Variables that name a web server with this answer; the query is a secret that nobody may repeat."""
        return {"CATFISH_MODEL_LOCATION": f"{self.serve(answer, **options)}?token=hunter2"}


@dataclass(frozen=True, kw_only=True)
class Bad:
    """One kind of bad weights.

    Attributes:
        reason: of docs/contract.md, which settles the exit code.
        says: a part of the sentence that says what is wrong with this kind.
        place: puts the weights where they are to be; returns the server's variables.
        field: of the spec, with which the sentence begins.
    """

    reason: str
    says: str
    place: Callable[[Place], Variables]
    field: str = URL


def status(code: int, headers: Mapping[str, str] | None = None, body: bytes = b"") -> Answer:
    """Answers with a status."""

    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(code)
        for name, value in ({"Content-Length": str(len(body))} | dict(headers or {})).items():
            handler.send_header(name, value)
        handler.end_headers()
        handler.wfile.write(body)

    return answer


def beginning(*, stall: bool) -> Answer:
    """Promises a megabyte and sends a thousand bytes; then the connection ends, or nothing comes any more."""

    def answer(handler: BaseHTTPRequestHandler) -> None:
        status(200, {"Content-Length": "1000000"}, b"PK\x03\x04" * 250)(handler)
        if stall:
            handler.wfile.flush()
            handler.connection.settimeout(90)
            handler.rfile.read(1)

    return answer


def torch_bytes(something: object, **options: Any) -> bytes:
    import torch

    buffer = io.BytesIO()
    torch.save(something, buffer, **options)
    return buffer.getvalue()


def changed(change: Callable[[dict[str, Any]], object]) -> Callable[[Place], Variables]:
    """The good weights with a change: in place, or what it returns."""

    def place(where: Place) -> Variables:
        import torch

        state = torch.load(where.good, weights_only=True)
        return where.file(torch_bytes(change(state) or state))

    return place


def with_value(value: float, *, double: bool = False) -> Callable[[Place], Variables]:
    def change(state: dict[str, Any]) -> None:
        if double:
            state["conv1.weight"] = state["conv1.weight"].double()
        state["conv1.weight"][0, 0, 0, 0] = value

    return changed(change)


def whole_numbers(state: dict[str, Any]) -> None:
    state["fc.weight"] = state["fc.weight"].int()


def content(made: Callable[[], bytes]) -> Callable[[Place], Variables]:
    return lambda where: where.file(made())


def zipped(entries: Mapping[str, bytes], compression: int = zipfile.ZIP_STORED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as file:
        for name, data in entries.items():
            file.writestr(name, data)
    return buffer.getvalue()


def compressed() -> bytes:
    """A thousand times as large once it is unpacked."""
    import torch

    with zipfile.ZipFile(io.BytesIO(torch_bytes({"a": torch.zeros(2_000_000)}))) as file:
        return zipped({name: file.read(name) for name in file.namelist()}, zipfile.ZIP_DEFLATED)


def code() -> bytes:
    class Attack:
        def __reduce__(self) -> tuple[Any, tuple[str]]:
            return os.system, ("touch /tmp/catfish-attack-succeeded",)

    return torch_bytes({"a": Attack()})


def expanded() -> bytes:
    import torch

    return torch_bytes({"a": torch.ones(1).expand(2**40)})


def claimed() -> bytes:
    """A storage of 2**44 numbers in a file of a kilobyte; torch allocates before it looks at the data."""
    import torch

    written = torch_bytes({"a": torch.ones(4)}, _use_new_zipfile_serialization=False)
    return written.replace(b"cpuq\x06K\x04N", b"cpuq\x06\x8a\x06\x00\x00\x00\x00\x10\x00N")


def whole_model() -> bytes:
    from torch import nn

    return torch_bytes(nn.Sequential(nn.Linear(2, 2)))


def safetensors(header: object, data: bytes = b"") -> bytes:
    encoded = json.dumps(header).encode()
    return struct.pack("<Q", len(encoded)) + encoded + data


FOUR = {"a": {"dtype": "F32", "shape": [4], "data_offsets": [0, 16]}}
IS_ONNX = {"CATFISH_ARCHITECTURE": "onnx", "CATFISH_IMAGE_SIZE": SIZE}


@cache
def onnx_bytes(external: str | None = None, kind: int = 1) -> bytes:
    """A model of one multiplication; with its weights in a file of that name, or for values of another type."""
    import numpy as np
    import onnx
    from onnx import helper

    kinds = {1: np.float32, 11: np.float64}
    weight = onnx.numpy_helper.from_array(np.ones((1, 3, SIZE, SIZE), kinds[kind]), "w")
    if external:
        onnx.external_data_helper.set_external_data(weight, external)
        weight.ClearField("raw_data")
        weight.data_location = onnx.TensorProto.EXTERNAL
    inputs = [helper.make_tensor_value_info("x", kind, ["n", 3, SIZE, SIZE])]
    outputs = [helper.make_tensor_value_info("y", kind, None)]
    graph = helper.make_graph([helper.make_node("Mul", ["x", "w"], ["y"])], "g", inputs, outputs, [weight])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 8
    return bytes(model.SerializeToString())


def beside(where: Place) -> Variables:
    """An ONNX model whose weights lie in a file beside it, which no digest is of."""
    where.file(b"\0" * 4 * 3 * SIZE * SIZE, "w.data")
    return where.file(onnx_bytes("w.data")) | IS_ONNX


def two_pictures(where: Place) -> Variables:
    """The same picture twice, once a cat and once a fish: one answer is wrong."""
    from PIL import Image

    for name in ("one.png", "two.png"):
        Image.new("RGB", (64, 64), (200, 30, 90)).save(where.directory / name)
    return {
        "CATFISH_MODEL_LOCATION": where.good,
        "CATFISH_VERIFICATION_DIR": where.directory,
        "CATFISH_VERIFICATION_SAMPLES": '[["one.png", "cat"], ["two.png", "fish"]]',
    }


def good(**variables: object) -> Callable[[Place], Variables]:
    """The good weights, asked for in a wrong way."""
    return lambda where: {"CATFISH_MODEL_LOCATION": where.good, **variables}


def at(url: str) -> Callable[[Place], Variables]:
    return lambda _where: {"CATFISH_MODEL_LOCATION": url}


def served(answer: Answer, **options: bool) -> Callable[[Place], Variables]:
    return lambda where: where.answering(answer, **options)


KINDS = {
    "no such file": Bad(
        reason="WeightsNotFound",
        says="does not exist",
        place=lambda where: {"CATFISH_MODEL_LOCATION": where.directory / "nothing.pt"},
    ),
    "a directory": Bad(
        reason="WeightsNotFound",
        says="is not a file",
        place=lambda where: {"CATFISH_MODEL_LOCATION": where.directory},
    ),
    "status 404": Bad(reason="WeightsNotFound", says="status 404: there is no", place=served(status(404))),
    "status 410": Bad(reason="WeightsNotFound", says="status 410: there is no", place=served(status(410))),
    "status 401": Bad(reason="WeightsForbidden", says="credentialsSecretRef", place=served(status(401))),
    "status 403": Bad(
        reason="WeightsForbidden",
        says="status 403 (AccessDenied): the keys in spec.weights.credentialsSecretRef",
        place=served(status(403, body=b"<Error><Code>AccessDenied</Code></Error>")),
    ),
    "status 500": Bad(reason="WeightsUnreachable", says="status 500", place=served(status(500))),
    "connection refused": Bad(
        reason="WeightsUnreachable", says="connection was refused", place=at("http://127.0.0.1:1/w?a=hunter2")
    ),
    "host unknown": Bad(
        reason="WeightsUnreachable", says="name cannot be resolved", place=at("http://nowhere.invalid/w")
    ),
    "certificate unknown": Bad(
        reason="WeightsUnreachable",
        says="the server's certificate is not trusted",
        place=served(status(200), tls=True),
    ),
    "endless redirect": Bad(
        reason="WeightsUnreachable",
        says="a redirect that leads nowhere, or one too many",
        place=served(status(302, {"Location": "/w"})),
    ),
    "redirect to a file": Bad(
        reason="WeightsUnreachable",
        says="a redirect that leads nowhere, or one too many",
        place=served(status(302, {"Location": "file:///etc/passwd"})),
    ),
    "cut download": Bad(
        reason="WeightsUnreachable",
        says="was cut off after 1000 of 1000000 bytes",
        place=served(beginning(stall=False)),
    ),
    "stalled download": Bad(
        reason="WeightsUnreachable", says="no byte arrived in time", place=served(beginning(stall=True))
    ),
    "larger than the disk": Bad(
        reason="WeightsUnreachable",
        says="the disk is full",
        place=served(status(200, {"Content-Length": str(2**60)})),
    ),
    "another digest": Bad(
        reason="ChecksumMismatch", says="not to 0000", place=good(CATFISH_MODEL_SHA256="0" * 64), field=SHA256
    ),
    "empty": Bad(reason="UnsupportedFormat", says="is empty", place=content(lambda: b"")),
    "a web page": Bad(
        reason="UnsupportedFormat",
        says="is a web page",
        place=served(status(200, body=b"<!doctype html><title>Sign in</title>")),
    ),
    "a Git LFS pointer": Bad(
        reason="UnsupportedFormat",
        says="run git lfs pull",
        place=content(lambda: b"version https://git-lfs.github.com/spec/v1\noid sha256:0"),
    ),
    "compressed by gzip": Bad(
        reason="UnsupportedFormat", says="unpack it first", place=content(lambda: gzip.compress(b"x" * 99))
    ),
    "neither this nor that": Bad(
        reason="UnsupportedFormat", says="is neither", place=content(lambda: bytes(range(7, 99)))
    ),
    "truncated archive": Bad(
        reason="UnsupportedFormat",
        says="cut short or damaged",
        place=lambda where: where.file(where.good.read_bytes()[:-1000]),
    ),
    "another archive": Bad(
        reason="UnsupportedFormat",
        says="not one that torch.save wrote",
        place=content(lambda: zipped({"a.txt": b"hello"})),
    ),
    "a whole pickled model": Bad(
        reason="UnsupportedFormat", says="weights_only=False).state_dict(), ", place=content(whole_model)
    ),
    "no weights in it": Bad(
        reason="UnsupportedFormat", says="holds no weights at all", place=content(lambda: torch_bytes({}))
    ),
    "truncated safetensors": Bad(
        reason="UnsupportedFormat",
        says="damaged safetensors",
        place=content(lambda: safetensors(FOUR, b"1234")),
    ),
    "corrupt ONNX": Bad(
        reason="UnsupportedFormat",
        says="is a damaged ONNX model",
        place=lambda where: where.file(onnx_bytes()[:-100]) | IS_ONNX,
    ),
    "ONNX with weights beside it": Bad(
        reason="UnsupportedFormat", says="with its weights in other files", place=beside
    ),
    "ONNX of another type": Bad(
        reason="UnsupportedFormat",
        says="takes x: tensor(double), not one tensor(float)",
        place=lambda where: where.file(onnx_bytes(kind=11)) | IS_ONNX,
    ),
    "ONNX for a resnet18": Bad(
        reason="UnsupportedFormat",
        says="set spec.model.architecture to onnx",
        place=content(onnx_bytes),
    ),
    "a pickle that runs code": Bad(reason="UnsafeWeights", says="wants to load", place=content(code)),
    "a zip bomb": Bad(reason="UnsafeWeights", says="compressed entries", place=content(compressed)),
    "an expanded tensor": Bad(
        reason="UnsafeWeights", says="claims 4398046511104 bytes of weights", place=content(expanded)
    ),
    "a claim of memory": Bad(
        reason="UnsafeWeights", says="more memory than weights need", place=content(claimed)
    ),
    "a huge safetensors header": Bad(
        reason="UnsafeWeights",
        says="has a header of 1099511627776 bytes",
        place=content(lambda: struct.pack("<Q", 2**40) + b"{"),
    ),
    "other keys": Bad(
        reason="ArchitectureMismatch",
        says="layer4.1.conv9.weight",
        place=changed(lambda state: state.update({"layer4.1.conv9.weight": state.pop("conv1.weight")})),
        field=ARCHITECTURE,
    ),
    "another number of classes": Bad(
        reason="ArchitectureMismatch", says="3", place=good(CATFISH_CLASSES="a,b,c"), field=CLASSES
    ),
    "another architecture": Bad(
        reason="ArchitectureMismatch",
        says="not the weights of a resnet50",
        place=good(CATFISH_ARCHITECTURE="resnet50"),
        field=ARCHITECTURE,
    ),
    "another dtype": Bad(
        reason="ArchitectureMismatch",
        says="expected float32, found int32",
        place=changed(whole_numbers),
        field=ARCHITECTURE,
    ),
    "NaN": Bad(reason="NonFiniteWeights", says="'conv1.weight'", place=with_value(float("nan"))),
    "infinity": Bad(reason="NonFiniteWeights", says="'conv1.weight'", place=with_value(float("-inf"))),
    "beyond float32": Bad(
        reason="NonFiniteWeights", says="'conv1.weight'", place=with_value(1e300, double=True)
    ),
    "TorchScript without a digest": Bad(
        reason="InvalidSpec",
        says="is required where spec.model.architecture is torchscript",
        place=good(CATFISH_ARCHITECTURE="torchscript"),
        field=SHA256,
    ),
    "classes that nobody names": Bad(
        reason="InvalidSpec",
        says="the weights do not name their classes",
        place=good(CATFISH_CLASSES=""),
        field=CLASSES,
    ),
    "wrong answers": Bad(
        reason="VerificationFailed",
        says="1 of 2 golden images were answered right",
        place=two_pictures,
        field=SAMPLES,
    ),
}
