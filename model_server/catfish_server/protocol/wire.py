"""How many fields a message of gRPC has, counted on its bytes: parsed, each of two bytes takes a hundred.

protobuf has no limit of its own but on the depth. Encoding: https://protobuf.dev/programming-guides/encoding/
"""

from collections.abc import Iterator

from google.protobuf.descriptor import Descriptor, FieldDescriptor

from catfish_server.protocol.body import MAX_TENSORS
from catfish_server.protocol.errors import BadInference

MAX_FIELDS = 1024
"""Of a message and of all within it, besides one for each image: 16 tensors of a name, a type, four sizes and some
parameters of four fields each have half as many."""

MAX_PACKED = 1024
"""Bytes of integers in one field, each of which may be eight once it is parsed: sizes, or elements of a type that the
model does not take."""

TENSORS = frozenset({"inputs", "outputs", "raw_input_contents"})

_VARINT, _EIGHT_BYTES, _LENGTH, _FOUR_BYTES = 0, 1, 2, 5
_LONGEST_VARINT = 10

_AS_LONG_AS_PARSED = frozenset(
    {
        FieldDescriptor.TYPE_STRING,
        FieldDescriptor.TYPE_BYTES,
        FieldDescriptor.TYPE_FLOAT,
        FieldDescriptor.TYPE_DOUBLE,
    }
)


def require_few(data: bytes, kind: Descriptor, *, max_images: int) -> None:
    """Checks a message before it is parsed.

    Args:
        data: the message.
        kind: what it is to be.
        max_images: that a call may bring, each of which may be a field.

    Raises:
        BadInference: it has more fields than any call needs, or cannot be read.
    """
    limit, tensors = MAX_FIELDS + max_images, dict.fromkeys(TENSORS, 0)
    for count, name in enumerate(_names(memoryview(data), kind, ""), start=1):
        if count > limit:
            detail = f"The message has more than {limit} fields; send elements packed or raw."
            raise BadInference(detail, field=name or None)
        if name in tensors:
            tensors[name] += 1
            if tensors[name] > MAX_TENSORS:
                raise BadInference(f"There are more than {MAX_TENSORS}.", field=name)


def _names(data: memoryview, kind: Descriptor, where: str) -> Iterator[str]:
    """The path of each field, and of each within it; empty where nobody knows it."""
    for number, wire, value in _fields(data):
        field = kind.fields_by_number.get(number)
        name = f"{where}{field.name}" if field is not None else ""
        yield name
        if field is None or wire != _LENGTH:
            continue
        if field.message_type is not None:
            yield from _names(value, field.message_type, f"{name}.")
        elif field.type not in _AS_LONG_AS_PARSED and len(value) > MAX_PACKED:
            raise BadInference(f"The field has more than {MAX_PACKED} bytes.", field=name)


def _fields(data: memoryview) -> Iterator[tuple[int, int, memoryview]]:
    """The number, the wire type and the value of each field."""
    at = 0
    while at < len(data):
        tag, at = _varint(data, at)
        wire, length = tag & 7, 0
        if wire == _VARINT:
            _, end = _varint(data, at)
        elif wire == _LENGTH:
            length, at = _varint(data, at)
            end = at + length
        elif wire in {_EIGHT_BYTES, _FOUR_BYTES}:
            end = at + (8 if wire == _EIGHT_BYTES else 4)
        else:  # a group, which no message of the protocol has
            raise BadInference("The message cannot be read.")
        if end > len(data):
            raise BadInference("The message cannot be read.")
        yield tag >> 3, wire, data[at:end]
        at = end


def _varint(data: memoryview, at: int) -> tuple[int, int]:
    """A number in as many bytes as it takes, and where it ends."""
    value = 0
    for place, byte in enumerate(data[at : at + _LONGEST_VARINT]):
        value |= (byte & 0x7F) << (7 * place)
        if byte < 0x80:
            return value, at + place + 1
    raise BadInference("The message cannot be read.")
