"""A record of the prediction log and its one encoding, a line of JSON; docs/prediction-log.md is its schema."""

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Literal

import numpy as np
from numpy.typing import NDArray

SCHEMA = 1
"""Raised when a field changes its meaning or goes; a new field alone leaves it as it is."""

Kind = Literal["prediction", "feedback"]

FIELDS: Mapping[str, str] = MappingProxyType(
    {
        "schema": "integer",
        "kind": "string",
        "uuid": "string",
        "time": "string",
        "model": "string",
        "revision": "string",
        "weights_sha256": "string",
        "request_id": "string",
        "user": "string",
        "image": "string",
        "prediction": "string",
        "probability": "number",
        "predict_time": "number",
        "tensors": "object",
        "label": "string",
    }
)
"""Every field by its type in JSON, in the order in which they are written. None is left out."""

_OVERHEAD_BYTES = 700
"""Names of fields, digests and ids of one line; what varies in length is counted besides."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One line of the log. None: the field is not there.

    Attributes:
        kind: whether it tells of a prediction or of what somebody says about one.
        uuid: of the prediction.
        time: seconds since the epoch.
        request_id: of the request that it comes from.
        user: who asked, as the configured header says.
        image: its address, or `sha256:` and the digest of its bytes.
        prediction: the class that was answered.
        probability: of the most probable class, 0..1.
        predict_time: seconds from the image being here to its class.
        input: where the settings ask for tensors: what the model was given, (3, image_size, image_size), normalised.
        output: its logits, (classes,).
        label: the class that is right, in a feedback.
    """

    kind: Kind
    uuid: str
    time: float
    request_id: str
    user: str | None = None
    image: str | None = None
    prediction: str | None = None
    probability: float | None = None
    predict_time: float | None = None
    input: NDArray[np.float32] | None = None
    output: NDArray[np.float32] | None = None
    label: str | None = None

    @property
    def size(self) -> int:
        """About how many bytes its line takes; told without encoding it."""
        texts = (self.image, self.user, self.prediction, self.label, self.request_id)
        tensors = sum(array.nbytes * 4 // 3 for array in (self.input, self.output) if array is not None)
        return _OVERHEAD_BYTES + tensors + sum(len(text) for text in texts if text)


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """What all records of one server have in common.

    Attributes:
        model: the name of the `CatfishModel`; None on a laptop.
        revision: of it; None on a laptop.
        weights_sha256: digest of the weights that are served, as hexadecimal digits.
    """

    model: str | None = None
    revision: str | None = None
    weights_sha256: str | None = None


def encode(record: Record, origin: Origin) -> bytes:
    """The record as one line of JSON with its newline; all of it is ASCII."""
    values = {
        "schema": SCHEMA,
        "kind": record.kind,
        "uuid": record.uuid,
        "time": timestamp(record.time),
        "model": origin.model,
        "revision": origin.revision,
        "weights_sha256": origin.weights_sha256,
        "request_id": record.request_id,
        "user": record.user,
        "image": record.image,
        "prediction": record.prediction,
        "probability": record.probability,
        "predict_time": None if record.predict_time is None else round(record.predict_time, 6),
        "tensors": _tensors(record),
        "label": record.label,
    }
    present = {name: value for name, value in values.items() if value is not None}
    return json.dumps(present, separators=(",", ":"), allow_nan=False).encode() + b"\n"


def timestamp(seconds: float) -> str:
    """RFC 3339 in UTC with microseconds, all of one length, so that texts sort as times do."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _tensors(record: Record) -> dict[str, object] | None:
    arrays = {"input": record.input, "output": record.output}
    return {name: tensor(array) for name, array in arrays.items() if array is not None} or None


def tensor(array: NDArray[np.float32]) -> dict[str, object]:
    """An array as JSON: its values in C order as little-endian float32, in base64."""
    data = np.ascontiguousarray(array, dtype="<f4").tobytes()
    return {"dtype": "float32", "shape": list(array.shape), "data": base64.b64encode(data).decode()}


def array(value: Mapping[str, object]) -> NDArray[np.float32]:
    """The array of what `tensor` made.

    Raises:
        ValueError: it is none.
    """
    shape, data = value.get("shape"), value.get("data")
    if value.get("dtype") != "float32" or not isinstance(shape, list) or not isinstance(data, str):
        raise ValueError("is no tensor of float32")
    return np.frombuffer(base64.b64decode(data, validate=True), dtype="<f4").reshape(shape).copy()
