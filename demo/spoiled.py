"""Weights that are bad on purpose, made from good ones: files of `torch.save`, with the standard library alone.

The demo and the tests of bad updates use it. Such a file is a zip archive: `data.pkl` names the tensors and the
storage of each, `data/<number>` holds the numbers.
"""

import io
import pickle
import pickletools
import struct
import zipfile
from collections.abc import Mapping

HEAD = ("fc.weight", "fc.bias")
"""The last layer of a ResNet: a row of weights and a bias for each class."""


def swapped_labels(content: bytes) -> bytes:
    """The same model with its two classes exchanged: it loads, it is quick, and it answers wrong."""
    rows = {name: _read(content, name) for name in HEAD}
    return _with(content, {name: row[len(row) // 2 :] + row[: len(row) // 2] for name, row in rows.items()})


def not_finite(content: bytes) -> bytes:
    """The same model with one NaN among its weights."""
    row = _read(content, HEAD[0])
    return _with(content, {HEAD[0]: struct.pack("<f", float("nan")) + row[4:]})


def other_keys(content: bytes) -> bytes:
    """The same tensors under names that no model has."""
    return _rewritten(content, {"data.pkl": _pickle(content).replace(b"conv1.weight", b"carp1.weight")})


def code(content: bytes) -> bytes:
    """A file whose pickle calls a program, were anybody to load it like any pickle."""
    return _rewritten(content, {"data.pkl": pickle.dumps(_Call(), protocol=2)})


def truncated(content: bytes) -> bytes:
    """The first half."""
    return content[: len(content) // 2]


class _Call:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        import os  # noqa: PLC0415 - what an attacker would name

        return os.system, ("touch /tmp/weights-ran-code",)


def _storage(content: bytes, tensor: str) -> str:
    """The entry that holds a tensor's numbers: the number that follows its name in the pickle."""
    words = [argument for _, argument, _ in pickletools.genops(_pickle(content)) if isinstance(argument, str)]
    after = words[words.index(tensor) :]
    return f"data/{next(word for word in after if word.isdigit())}"


def _pickle(content: bytes) -> bytes:
    return _entry(content, "data.pkl")


def _read(content: bytes, tensor: str) -> bytes:
    return _entry(content, _storage(content, tensor))


def _with(content: bytes, tensors: Mapping[str, bytes]) -> bytes:
    return _rewritten(content, {_storage(content, name): numbers for name, numbers in tensors.items()})


def _entry(content: bytes, name: str) -> bytes:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return archive.read(next(each for each in archive.namelist() if each.partition("/")[2] == name))


def _rewritten(content: bytes, entries: Mapping[str, bytes]) -> bytes:
    """The archive with other bytes in some entries, named without the folder that all of them lie in."""
    target = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as before, zipfile.ZipFile(target, "w") as after:
        for info in before.infolist():
            after.writestr(info, entries.get(info.filename.partition("/")[2]) or before.read(info))
    return target.getvalue()
