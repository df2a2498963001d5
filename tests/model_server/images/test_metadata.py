"""Files with more beside their picture than any camera writes: each piece costs Pillow time that nobody else has."""

import contextlib
import io
import struct
import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from catfish_server.images import jpeg, metadata
from catfish_server.images.decode import FORMATS, BrokenImage, decode
from catfish_server.images.metadata import TooMuchMetadata
from tests.model_server.images.test_decode import encoded, picture

MIB = 1024 * 1024


def segment(marker, payload):
    return bytes([0xFF, marker]) + struct.pack(">H", 2 + len(payload)) + payload


def chunk(kind, payload=b""):
    return struct.pack(">I", len(payload)) + kind + payload + struct.pack(">I", zlib.crc32(kind + payload))


def jpeg_with(*pieces):
    data = encoded(picture(), "JPEG")
    return data[:2] + b"".join(pieces) + data[2:]


def png_with(*pieces, behind=False):
    data = encoded(picture(), "PNG")
    at = data.rindex(b"IEND") - 4 if behind else 33
    return data[:at] + b"".join(pieces) + data[at:]


def gif_with(*pieces):
    data = encoded(picture(), "GIF")
    assert data[10] & 0x80
    at = 13 + (3 << (data[10] & 7) + 1)
    return data[:at] + b"".join(pieces) + data[at:]


def profile(count):
    return [segment(0xE2, b"ICC_PROFILE\0" + bytes([number, count, 0])) for number in range(1, count + 1)]


EXTENDED = segment(0xE1, b"http://ns.adobe.com/xmp/extension/\0" + bytes(60_000))
EXIF = segment(0xE1, b"Exif\0\0" + bytes(10))
UNPACKED = zlib.compress(bytes(MIB - 1000))


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(jpeg_with(*profile(255), *[EXTENDED] * 60), id="a large profile and extended XMP"),
        pytest.param(jpeg_with(segment(0xFE, b""), bytes(1000)), id="junk between the segments"),
        pytest.param(encoded(picture(), "JPEG") + bytes(5 * MIB), id="a film behind a JPEG"),
        pytest.param(png_with(*[chunk(b"tEXt", b"a\0b")] * 40), id="texts"),
        pytest.param(png_with(*[chunk(b"IDAT")] * 10_000, behind=True), id="pixels in small pieces"),
        pytest.param(gif_with(b"!\xfe", b"\x50" * 0x51 * 1000, b"\0"), id="a long comment"),
        pytest.param(gif_with(b"!\xff\x0bNETSCAPE2.0\x03\x01\0\0\0"), id="an animation for ever"),
    ],
)
def test_what_cameras_and_programs_write_is_decoded(data):
    assert decode(data).size == (64, 48)


@pytest.mark.parametrize(
    ("data", "what"),
    [
        pytest.param(jpeg_with(EXIF * 300_000), "512 segments", id="Exif in pieces"),
        pytest.param(jpeg_with(segment(0xFE, b"") * 600), "512 segments", id="comments"),
        pytest.param(jpeg_with(EXTENDED * 80), "4194304 bytes of metadata", id="bytes of a JPEG"),
        pytest.param(jpeg_with(bytes(100_000)), "65536 bytes between its segments", id="junk"),
        pytest.param(jpeg_with(b"\xff" * 100_000), "65536 bytes between its segments", id="padding"),
        pytest.param(b"\xff\xd8\xff\xd9" + EXIF * 600, "512 segments", id="behind an end that is none"),
        pytest.param(
            b"\xff\xd8\xff\xe0\0\x02" + bytes(100_000), "65536 bytes between", id="nothing but junk"
        ),
        pytest.param(jpeg_with(segment(0xF0, EXIF * 600)), "512 segments", id="in a segment that is none"),
        pytest.param(
            png_with(*[chunk(b"iCCP", b"a\0\0" + zlib.compress(bytes(MIB)))] * 500),
            "100 chunks",
            id="profiles",
        ),
        pytest.param(
            png_with(*[chunk(b"prVt")] * 200, behind=True), "100 chunks of metadata", id="behind the pixels"
        ),
        pytest.param(png_with(chunk(b"tEXt", b"a\0" + bytes(5 * MIB))), "4194304 bytes", id="bytes of a PNG"),
        pytest.param(png_with(*[chunk(b"IDAT")] * 20_000), "16384 chunks", id="empty pixels"),
        pytest.param(
            gif_with(b"!\xfe" + b"\x01a" * 20_000 + b"\0"), "16384 blocks", id="a comment in pieces"
        ),
        pytest.param(gif_with(b"!\xf1\x01a\0" * 20_000), "16384 blocks", id="extensions"),
        pytest.param(gif_with(b"!\xf1\0\0" * 20_000), "16384 blocks", id="empty extensions"),
        pytest.param(gif_with(bytes(20_000)), "16384 blocks", id="junk of a GIF"),
    ],
)
def test_more_than_that_is_refused_before_it_costs_time(data, what, monkeypatch):
    monkeypatch.setattr(Image, "open", lambda *_, **__: pytest.fail("Pillow saw it."))
    with pytest.raises(TooMuchMetadata, match=what) as caught:
        decode(data)
    assert caught.value.status == 422
    assert "without its metadata" in caught.value.detail


def test_texts_of_a_png_take_four_mebibytes_unpacked_at_most():
    text = chunk(b"zTXt", b"a\0\0" + UNPACKED)
    assert decode(png_with(*[text] * 4)).size == (64, 48)
    with pytest.raises(BrokenImage):
        decode(png_with(*[text] * 5))


@pytest.mark.parametrize("kind", FORMATS)
def test_what_is_cut_anywhere_is_checked_without_a_failure(kind):
    data = encoded(picture(16, 12), kind)
    for length in range(0, len(data), 3):
        metadata.check(data[:length])


def test_an_image_is_turned_upright_without_its_exif_being_written_anew(monkeypatch):
    """Of 65,535 entries that took 1.5 s, and nobody reads them."""
    monkeypatch.setattr(Image.Exif, "tobytes", lambda *_: pytest.fail("It was written."))
    directory = struct.pack("<HHHII", 1, 0x0112, 3, 1, 6)
    data = png_with(chunk(b"eXIf", b"II*\0\x08\0\0\0" + directory + bytes(4)))
    assert decode(data).size == (48, 64)


class Counting(io.BytesIO):
    """Counts how often it is read from."""

    reads = 0

    def read(self, *size):
        self.reads += 1
        return super().read(*size)


def reads(data, kind):
    file = Counting(data)
    with contextlib.suppress(Exception), Image.open(file, formats=(kind,)):
        pass
    return file.reads


def pieces_of_jpeg(data):
    end, count = 2, 0
    for found in jpeg.segments(data):
        count, end = count + 1 + found.start - end, found.end
        if found.marker == jpeg.START_OF_SCAN:
            return count
    return count + len(data) - end


SEGMENTS = st.sampled_from(
    [
        EXIF,
        segment(0xFE, b""),
        segment(0xF0, EXIF * 4),
        segment(0xC8, EXIF * 4),
        segment(0xDE, b"\x08\0\x10\0\x10\x01\x01\x11\0"),
        segment(0xC0, b"\x08\0\x10\0\x10\x01\x01\x11\0"),
        segment(0xDC, EXIF),
        b"\xff\xfe\0\0",
        b"\xff\xe1\0\x01",
        b"\xff\xd8",
        b"\xff\xd9",
        b"\xff\xd3",
        b"\xff\x00",
        b"\xff\xff\xff",
        b"\x00",
        b"ab",
        segment(0xDA, b"\x01\x01\0\0\x3f\0"),
    ]
)


# The checks hold only as far as they see what Pillow reads: each of its reads belongs to a piece that was counted.
@settings(max_examples=300, deadline=None)
@given(st.lists(SEGMENTS, max_size=30))
def test_pillow_reads_no_segment_of_a_jpeg_that_is_not_counted(parts):
    data = b"\xff\xd8\xff" + b"".join(parts)
    assert reads(data, "JPEG") <= 4 * pieces_of_jpeg(data) + 12


BLOCKS = st.sampled_from(
    [
        b"!\xfe\x03abc\0",
        b"!\xfe\0",
        b"!\xf9\x04\0\0\0\0\0",
        b"!\xf1\0",
        b"!\xf1\x02ab",
        b"!\xff\x0bNETSCAPE2.0\x03\x01\0\0\0",
        b"!\xff\x0bNETSCAPE2.0\0",
        b"!\xff\x0cNETSCAPE2.0a\0",
        b"!\xff\x0bNETSCAPE2.0\x0bNETSCAPE2.0",
        b"!\xff\x03abc\0",
        b"!",
        b"\0",
        b"\x01a",
        b",",
    ]
)


@settings(max_examples=300, deadline=None)
@given(st.lists(BLOCKS, max_size=30))
def test_pillow_reads_no_block_of_a_gif_that_is_not_counted(parts):
    data = b"GIF89a\x08\0\x08\0\0\0\0" + b"".join(parts)
    assert reads(data, "GIF") <= 4 * sum(1 for _ in metadata._blocks(data)) + 12
