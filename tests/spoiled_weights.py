"""Makes what the table of bad weights puts at the address of the weights: files, web servers' answers, settings."""

import hashlib
import io
import json
import os
import struct
import warnings
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


def bare() -> bytes:
    """As torch.save wrote it before 1.6: pickles one after the other, and then the numbers."""
    import torch

    return torch_bytes({"a": torch.ones(400)}, _use_new_zipfile_serialization=False)


def without_end(written: bytes) -> bytes:
    """Without its last hundred bytes."""
    return written[:-100]


def flipped(written: bytes, word: bytes) -> bytes:
    """With another letter at the start of a word."""
    assert word in written
    return written.replace(word, bytes([word[0] ^ 1]) + word[1:], 1)


def scripted() -> bytes:
    """A TorchScript archive."""
    import torch
    from torch import nn

    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=DeprecationWarning)  # all of TorchScript is
        torch.jit.save(torch.jit.script(nn.Sequential(nn.Flatten(), nn.Linear(3 * SIZE * SIZE, 2))), buffer)
    return buffer.getvalue()


def vouched(where: Place, written: bytes, **variables: object) -> Variables:
    """A file with this content, and its digest: it was uploaded as it is."""
    return where.file(written) | {"CATFISH_MODEL_SHA256": hashlib.sha256(written).hexdigest()} | variables


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


def hungry_onnx(floats: int = 2**50, size: int = SIZE) -> bytes:
    """A kilobyte that asks for so many floats when it is run on an image of so many pixels."""
    import onnx
    from onnx import TensorProto, helper

    nodes = [
        helper.make_node("ConstantOfShape", ["shape"], ["many"]),
        helper.make_node("ReduceSum", ["many"], ["none"], keepdims=0),
        helper.make_node("GlobalAveragePool", ["x"], ["means"]),
        helper.make_node("Flatten", ["means"], ["flat"]),
        helper.make_node("Add", ["flat", "none"], ["y"]),
    ]
    inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, size, size])]
    outputs = [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 3])]
    shape = helper.make_tensor("shape", TensorProto.INT64, [1], [floats])
    graph = helper.make_graph(nodes, "g", inputs, outputs, [shape])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return bytes(onnx.ModelProto.SerializeToString(model))


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


def at(url: str, **variables: str) -> Callable[[Place], Variables]:
    return lambda _where: {"CATFISH_MODEL_LOCATION": url, **variables}


def served(answer: Answer, **options: bool) -> Callable[[Place], Variables]:
    return lambda where: where.answering(answer, **options)
