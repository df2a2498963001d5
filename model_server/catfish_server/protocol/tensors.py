"""Tensors of the Open Inference Protocol, and the bytes that they travel as.

The bytes are those of the binary tensor data extension and of gRPC's raw contents, which are the same: row-major and
little-endian; a BYTES element is its length in four bytes, then itself
(https://github.com/triton-inference-server/server/blob/main/docs/protocol/extension_binary_data.md).
"""

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

import numpy as np
from numpy.typing import NDArray

from catfish_server.protocol.errors import BadInference

BYTES = "BYTES"
FP32 = "FP32"

ANY = -1
"""A dimension of any size, in metadata."""

_LENGTH = struct.Struct("<I")
_FLOAT = np.dtype("<f4")


@dataclass(frozen=True, slots=True, kw_only=True)
class Declared:
    """A tensor as metadata describe it.

    Attributes:
        name: of the tensor.
        datatype: `BYTES` or `FP32`.
        shape: with -1 for a dimension of any size.
    """

    name: str
    datatype: str
    shape: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Tensor:
    """A tensor with its elements.

    Attributes:
        name: of the tensor.
        data: float32 of the tensor's shape, or the elements of a BYTES tensor, row by row.
        shape: of the tensor.
    """

    name: str
    data: NDArray[np.float32] | Sequence[bytes]
    shape: tuple[int, ...]

    @property
    def datatype(self) -> str:
        """`BYTES` or `FP32`."""
        return FP32 if isinstance(self.data, np.ndarray) else BYTES

    def raw(self) -> bytes:
        """The elements as bytes."""
        if isinstance(self.data, np.ndarray):
            return self.data.astype(_FLOAT, copy=False).tobytes()
        return b"".join(_LENGTH.pack(len(element)) + element for element in self.data)


def elements(raw: memoryview, *, shape: Sequence[int], field: str) -> list[bytes]:
    """The elements of a BYTES tensor.

    Raises:
        BadInference: the bytes are not as many elements as the shape has.
    """
    found: list[bytes] = []
    offset = 0
    for _ in range(prod(shape)):
        start = offset + _LENGTH.size
        if start > len(raw):
            raise BadInference(f"The data end after {len(found)} of {prod(shape)} elements.", field=field)
        (length,) = _LENGTH.unpack(raw[offset:start])
        offset = start + length
        if offset > len(raw):
            raise BadInference(f"Element {len(found)} is longer than the data.", field=field)
        found.append(bytes(raw[start:offset]))
    if offset != len(raw):
        raise BadInference(f"There are {len(raw) - offset} bytes behind the last element.", field=field)
    return found


def floats(raw: memoryview, *, shape: Sequence[int], field: str) -> NDArray[np.float32]:
    """The elements of an FP32 tensor, as an array of its shape that owns its memory.

    Raises:
        BadInference: the bytes are not as many as the shape has.
    """
    wanted = prod(shape) * _FLOAT.itemsize
    if len(raw) != wanted:
        raise BadInference(f"The shape takes {wanted} bytes, and there are {len(raw)}.", field=field)
    return np.array(np.frombuffer(raw, _FLOAT), np.float32).reshape(shape)
