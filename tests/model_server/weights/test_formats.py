import pytest

from catfish_server.errors import DamagedWeights, UnsupportedFormat
from catfish_server.weights import formats
from catfish_server.weights.formats import Format

from .files import archive, torch_bytes, weights


@pytest.mark.parametrize(
    ("content", "vouched", "expected"),
    [
        pytest.param(torch_bytes(weights()), True, Format.STATE_DICT, id="zip"),
        pytest.param(
            torch_bytes(weights(), _use_new_zipfile_serialization=False), True, Format.STATE_DICT, id="bare"
        ),
        pytest.param(
            archive({"a/constants.pkl": "", "a/data.pkl": ""}), True, Format.TORCHSCRIPT, id="script"
        ),
        pytest.param(archive({"a/archive_format": "pt2"}), True, Format.EXPORTED, id="exported"),
        pytest.param(
            archive({"serialized_exported_program.json": "{}"}),
            True,
            Format.EXPORTED,
            id="exported-before-2.7",
        ),
        pytest.param(
            archive({"a/constants.pkl": ""}),
            False,
            Format.STATE_DICT,
            id="an-archive-that-nobody-vouches-for",
        ),
        pytest.param(
            archive({"a/archive_format": ""})[:-30],
            False,
            Format.STATE_DICT,
            id="cut-short-as-the-sandbox-sees",
        ),
        pytest.param(
            b'\x08\x00\x00\x00\x00\x00\x00\x00{"a":{}}', False, Format.SAFETENSORS, id="safetensors"
        ),
        pytest.param(
            b'\x08\x12\x12\x00\x00\x00\x00\x00{"a":{}}', False, Format.SAFETENSORS, id="safetensors-like-onnx"
        ),
        pytest.param(b"\x08\x0a\x12\x07pytorch\x1a", False, Format.ONNX, id="onnx"),
        pytest.param(b"\x08\x0a\x12\x07pyt{rch\x1a", False, Format.ONNX, id="onnx-like-safetensors"),
    ],
)
def test_formats_are_told_apart_by_their_bytes(tmp_path, content, vouched, expected):
    (tmp_path / "w").write_bytes(content)
    assert formats.identify(tmp_path / "w", vouched=vouched) is expected


@pytest.mark.parametrize(
    "spoiled",
    [
        archive({"a/archive_format": ""})[:-30],
        archive({"a/archive_format": ""}).replace(b"PK\x01\x02", b"PK\x01\x03"),
        archive({"a/archive_format": "", "a/inner": archive({"b": "whole"})})[:-30],
        archive({"a/archive_format": ""}).replace(b"PK\5\6", b"PK\6\7" + bytes(12) + b"\2\0\0\0PK\5\6"),
    ],
    ids=["cut short", "another table", "cut short after an archive in it", "of many disks"],
)
def test_an_archive_that_is_vouched_for_and_damaged_is_told(tmp_path, spoiled):
    (tmp_path / "w").write_bytes(spoiled)
    with pytest.raises(DamagedWeights, match="damaged"):
        formats.identify(tmp_path / "w", vouched=True)


@pytest.mark.parametrize(
    ("found", "architecture"),
    [
        (Format.STATE_DICT, "resnet18"),
        (Format.SAFETENSORS, "cnnnet"),
        (Format.TORCHSCRIPT, "torchscript"),
        (Format.EXPORTED, "exported"),
        (Format.ONNX, "onnx"),
    ],
)
def test_a_format_that_suits_the_architecture_is_taken(found, architecture):
    formats.check(found, architecture)


@pytest.mark.parametrize(
    ("found", "architecture", "says"),
    [
        (Format.ONNX, "resnet18", "set spec.model.architecture to onnx"),
        (Format.TORCHSCRIPT, "resnet18", "set spec.model.architecture to torchscript"),
        (
            Format.STATE_DICT,
            "onnx",
            "is an archive or pickle of torch, and spec.model.architecture says that it is an ONNX",
        ),
        (Format.EXPORTED, "torchscript", "is an archive of torch.export, and spec.model.architecture says"),
    ],
)
def test_a_format_that_does_not_suit_the_architecture_is_refused(found, architecture, says):
    with pytest.raises(UnsupportedFormat, match=says):
        formats.check(found, architecture)
