"""Bodies of REST's infer: JSON, and behind it the tensors that came or go as bytes.

Reading a tensor out of JSON takes ten times its length in memory for a moment, so that one body at a time is read;
a second would only wait for the interpreter's lock.
"""

import base64
import binascii
import json
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from catfish_server import readers, waiting
from catfish_server.errors import Overloaded
from catfish_server.protocol import tensors
from catfish_server.protocol.errors import BadInference
from catfish_server.protocol.model import OpenModel, Wanted
from catfish_server.protocol.tensors import BYTES, Tensor

MAX_TENSORS = 16
"""Inputs and outputs that a request may name; the model has two and five."""

MAX_ID = 1024
"""Characters of an id, which is sent back."""

PATIENCE_SECONDS = 2.0
_BRACKETS = 256  # of a request without its elements
_reading = threading.Lock()


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What the body of an inference says.

    Attributes:
        id: to be sent back, None without one.
        inputs: with their elements.
        outputs: that are wanted; none: all.
        binary: which outputs are to be sent as bytes, by name.
        binary_else: whether an output that `binary` does not name is.
    """

    id: str | None
    inputs: tuple[Tensor, ...]
    outputs: tuple[Wanted, ...]
    binary: dict[str, bool] = field(default_factory=dict)
    binary_else: bool = False


def parse(body: bytes, header_length: str | None, *, model: OpenModel) -> Asked:
    """What a body asks for.

    Args:
        body: all of it.
        header_length: the value of `Inference-Header-Content-Length`, None where it was not sent.
        model: whose inputs these are to be.

    Raises:
        BadInference: it is not an inference request, or not for this model.
        Overloaded: others are being read all the time.
    """
    split = _split(len(body), header_length)
    with _alone():
        document = _document(body[:split], brackets=_BRACKETS + _nested(model))
        parameters = _parameters(document, "parameters")
        inputs = _inputs(document, memoryview(body)[split:], model)
    outputs, binary = _outputs(document)
    return Asked(
        id=_id(document),
        inputs=inputs,
        outputs=outputs,
        binary=binary,
        binary_else=_flag(parameters, "binary_data_output", "parameters") or False,
    )


def render(asked: Asked, outputs: Sequence[Tensor], *, model: OpenModel) -> tuple[bytes, int | None]:
    """The body of an answer, and the length of its JSON where bytes follow it."""
    described: list[dict[str, object]] = []
    tails: list[bytes] = []
    for tensor in outputs:
        told: dict[str, object] = {
            "name": tensor.name,
            "shape": list(tensor.shape),
            "datatype": tensor.datatype,
        }
        if asked.binary.get(tensor.name, asked.binary_else):
            tails.append(tensor.raw())
            told["parameters"] = {"binary_data_size": len(tails[-1])}
        elif isinstance(tensor.data, np.ndarray):
            told["data"] = tensor.data.ravel().tolist()
        else:
            told["data"] = [element.decode() for element in tensor.data]
        described.append(told)
    answer: dict[str, object] = {
        "model_name": model.name,
        "model_version": model.version,
        "outputs": described,
    }
    if asked.id is not None:
        answer["id"] = asked.id
    head = json.dumps(answer).encode()
    return b"".join([head, *tails]), len(head) if tails else None


@contextmanager
def _alone() -> Iterator[None]:
    if not _reading.acquire(timeout=waiting.left(PATIENCE_SECONDS)):
        raise Overloaded("Too many large requests are being read already.", reason="decoding")
    try:
        yield
    finally:
        _reading.release()


def _split(length: int, header_length: str | None) -> int:
    if header_length is None:
        return length
    # Only ASCII digits: int() takes underscores, signs and the digits of every script.
    if not (header_length.isascii() and header_length.isdigit() and len(header_length) <= 18):
        raise BadInference("The header must be a number of bytes.", field="Inference-Header-Content-Length")
    if int(header_length) > length:
        raise BadInference("The header is larger than the body.", field="Inference-Header-Content-Length")
    return int(header_length)


def _nested(model: OpenModel) -> int:
    """The brackets that the elements of the largest tensor may have: lists of lists, as the protocol allows."""
    (_, channels, height, _) = model.inputs[1].shape
    return model.max_images * (1 + channels * (1 + height))


def _document(text: bytes, *, brackets: int) -> dict[str, Any]:
    # Each takes 64 bytes and more once it is read.
    try:
        return readers.json_object(text, max_brackets=brackets)
    except ValueError as error:
        raise BadInference(str(error)) from error


def _id(document: dict[str, Any]) -> str | None:
    given = document.get("id")
    if given is not None and not (isinstance(given, str) and len(given) <= MAX_ID):
        raise BadInference(f"The id must be a string of at most {MAX_ID} characters.", field="id")
    return given


def _objects(document: dict[str, Any], name: str) -> list[dict[str, Any]]:
    found = document.get(name, [])
    if not isinstance(found, list) or not all(isinstance(item, dict) for item in found):
        raise BadInference("The field must be a list of objects.", field=name)
    if len(found) > MAX_TENSORS:
        raise BadInference(f"There are more than {MAX_TENSORS}.", field=name)
    return found


def _parameters(holder: dict[str, Any], where: str) -> dict[str, Any]:
    found = holder.get("parameters", {})
    if not isinstance(found, dict):
        raise BadInference("The parameters must be an object.", field=where)
    return found


def _flag(parameters: dict[str, Any], name: str, where: str) -> bool | None:
    value = parameters.get(name)
    if value is not None and not isinstance(value, bool):
        raise BadInference("The parameter must be true or false.", field=f"{where}.{name}")
    return value


def _count(parameters: dict[str, Any], name: str, where: str, *, least: int) -> int | None:
    value = parameters.get(name)
    if value is not None and not (type(value) is int and value >= least):
        raise BadInference(f"The parameter must be a number from {least} on.", field=f"{where}.{name}")
    return value


def _inputs(document: dict[str, Any], tail: memoryview, model: OpenModel) -> tuple[Tensor, ...]:
    if "inputs" not in document:
        raise BadInference("The field is missing.", field="inputs")
    found: list[Tensor] = []
    for number, item in enumerate(_objects(document, "inputs")):
        where = f"inputs[{number}]"
        declared, shape = model.declared(
            item.get("name"), item.get("datatype"), item.get("shape"), field=where
        )
        parameters = _parameters(item, f"{where}.parameters")
        size = _count(parameters, "binary_data_size", f"{where}.parameters", least=0)
        data: NDArray[np.float32] | list[bytes]
        if size is not None:
            if "data" in item:
                raise BadInference(
                    "The elements are there twice: as data, and as bytes.", field=f"{where}.data"
                )
            if size > len(tail):
                raise BadInference(
                    "The body ends before the data.", field=f"{where}.parameters.binary_data_size"
                )
            raw, tail = tail[:size], tail[size:]
            read = tensors.elements if declared.datatype == BYTES else tensors.floats
            data = read(raw, shape=shape, field=where)
        elif "data" not in item:
            raise BadInference("The field is missing.", field=f"{where}.data")
        elif declared.datatype == BYTES:
            data = _images(item["data"], shape, f"{where}.data")
        else:
            data = _numbers(item["data"], shape, f"{where}.data")
        found.append(Tensor(name=declared.name, data=data, shape=shape))
    if len(tail):
        raise BadInference(f"There are {len(tail)} bytes that belong to no input.", field="inputs")
    return tuple(found)


def _images(data: Any, shape: tuple[int, ...], where: str) -> list[bytes]:  # noqa: ANN401 (any JSON)
    flat = _flat(data, depth=len(shape))
    if flat is None or not all(isinstance(item, str) for item in flat):
        raise BadInference("The data must be a list of strings, each an image in base64.", field=where)
    if len(flat) != prod(shape):
        raise BadInference(f"The shape has {prod(shape)} elements, and there are {len(flat)}.", field=where)
    try:
        return [base64.b64decode(item, validate=True) for item in flat]
    except (binascii.Error, ValueError) as error:
        raise BadInference("An element is not base64.", field=where) from error


def _flat(data: Any, *, depth: int) -> list[Any] | None:  # noqa: ANN401 (any JSON)
    if not isinstance(data, list):
        return None
    if depth == 2 and all(isinstance(row, list) for row in data):
        return [item for row in data for item in row]
    return data


def _numbers(data: Any, shape: tuple[int, ...], where: str) -> NDArray[np.float32]:  # noqa: ANN401 (any JSON)
    try:
        array = np.asarray(data if isinstance(data, list) else None)
    except (ValueError, OverflowError):  # rows of different lengths, or deeper than an array can be
        array = np.asarray(None)
    if array.dtype.kind not in "iuf":
        raise BadInference("The data must be numbers, as one list or in lists of the shape.", field=where)
    if array.size != prod(shape) or (array.ndim > 1 and array.shape != shape):
        raise BadInference(f"The shape has {prod(shape)} elements, and the data another.", field=where)
    with np.errstate(
        over="ignore"
    ):  # what is too large for 32 bits becomes infinity, which the model refuses
        return array.astype(np.float32).reshape(shape)


def _outputs(document: dict[str, Any]) -> tuple[tuple[Wanted, ...], dict[str, bool]]:
    wanted: list[Wanted] = []
    binary: dict[str, bool] = {}
    for number, item in enumerate(_objects(document, "outputs")):
        name, where = item.get("name"), f"outputs[{number}]"
        if not isinstance(name, str):
            raise BadInference("The field must be a string.", field=f"{where}.name")
        parameters = _parameters(item, f"{where}.parameters")
        count = _count(parameters, "classification", f"{where}.parameters", least=1)
        wanted.append(Wanted(name=name, classification=count))
        flag = _flag(parameters, "binary_data", f"{where}.parameters")
        if flag is not None:
            binary[name] = flag
    return tuple(wanted), binary
