import contextlib
import io
import random
import struct
import tracemalloc
import warnings
import zlib

import numpy as np
import pytest
from PIL import Image, ImageOps

from catfish_server.errors import RequestError
from catfish_server.images import webp
from catfish_server.images.decode import FORMATS, BrokenImage, NotAnImage, TooManyPixels, decode


def picture(width=64, height=48, mode="RGB"):
    rng = np.random.default_rng(7)
    pixels = rng.integers(0, 255, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(pixels).convert(mode)


def encoded(image, kind, **options):
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


@pytest.mark.parametrize("kind", FORMATS)
def test_each_format_becomes_rgb_of_its_size(kind):
    image = decode(encoded(picture(), kind))
    assert (image.mode, image.size) == ("RGB", (64, 48))


@pytest.mark.parametrize(
    ("mode", "kind"),
    [
        ("L", "PNG"),
        ("LA", "PNG"),
        ("P", "PNG"),
        ("RGBA", "PNG"),
        ("1", "PNG"),
        ("L", "JPEG"),
        ("CMYK", "JPEG"),
        ("RGBA", "WEBP"),
        ("P", "GIF"),
        ("1", "BMP"),
    ],
)
def test_each_mode_becomes_rgb(mode, kind):
    assert decode(encoded(picture(mode=mode), kind)).mode == "RGB"


def test_sixteen_bits_of_grey_are_scaled_not_clipped():
    values = np.arange(1 << 16, dtype=np.uint16).reshape(256, 256)
    decoded = np.asarray(decode(encoded(Image.fromarray(values), "PNG")))
    np.testing.assert_array_equal(decoded, np.repeat((values >> 8)[..., np.newaxis], 3, axis=2))


def test_a_palette_with_transparency_decodes_without_a_warning():
    image = picture().quantize(8)
    image.info["transparency"] = bytes(range(8))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert decode(encoded(image, "PNG")).mode == "RGB"


def test_of_an_animation_the_first_frame_counts():
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "blue")]
    data = encoded(frames[0], "GIF", save_all=True, append_images=frames[1:])
    assert decode(data).getpixel((0, 0)) == (255, 0, 0)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_photograph_is_turned_upright(orientation):
    image = Image.new("RGB", (40, 20), "black")
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encoded(image, "JPEG", exif=exif)
    assert decode(data).size == ((20, 40) if orientation >= 5 else (40, 20))


@pytest.mark.parametrize("orientation", range(10))
def test_it_is_turned_as_pillow_would(orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encoded(picture(), "PNG", exif=exif)
    with Image.open(io.BytesIO(data)) as image:
        expected = ImageOps.exif_transpose(image)
    np.testing.assert_array_equal(np.asarray(decode(data)), np.asarray(expected))


# decode's module silences Pillow for good; pytest sets its own filters anew for each test.
@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")
def test_damaged_exif_beside_sound_pixels_does_no_harm():
    data = encoded(picture(), "JPEG", exif=b"Exif\x00\x00II*\x00\xff\xff\xff\xff")
    assert decode(data).size == (64, 48)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"x",
        b"<html>hello</html>",
        b"%PDF-1.7",
        b"GIF89a",
        b"<svg xmlns='http://www.w3.org/2000/svg'/>",
        encoded(picture(), "TIFF"),
        encoded(picture(), "ICO"),
        encoded(picture(), "PPM"),
        encoded(picture(), "EPS"),
        encoded(picture(), "JPEG2000"),
    ],
)
def test_other_formats_are_not_decoded(data):
    with pytest.raises(RequestError) as caught:
        decode(data)
    assert caught.value.status in {415, 422}


def test_a_text_is_named_as_not_an_image():
    with pytest.raises(NotAnImage, match="JPEG, PNG, WEBP, GIF, BMP"):
        decode(b"this is no image, whatever its type said")


@pytest.mark.parametrize("kind", FORMATS)
def test_a_truncated_image_is_refused(kind):
    data = encoded(picture(), kind)
    with pytest.raises(RequestError) as caught:
        decode(data[: len(data) // 2])
    assert caught.value.status in {415, 422}


def png_of(width, height):
    """A PNG whose header says it is huge; its pixels are a few bytes."""
    data = bytearray(encoded(Image.new("1", (8, 8)), "PNG"))
    data[16:24] = struct.pack(">II", width, height)
    data[29:33] = struct.pack(">I", zlib.crc32(bytes(data[12:29])))
    return bytes(data)


def jpeg_of(width, height):
    data = bytearray(encoded(Image.new("RGB", (8, 8)), "JPEG"))
    at = data.index(b"\xff\xc0") + 5
    data[at : at + 4] = struct.pack(">HH", height, width)
    return bytes(data)


def gif_of(width, height):
    data = bytearray(encoded(Image.new("P", (8, 8)), "GIF"))
    data[6:10] = struct.pack("<HH", width, height)
    return bytes(data)


def bmp_of(width, height):
    data = bytearray(encoded(Image.new("RGB", (8, 8)), "BMP"))
    data[18:26] = struct.pack("<ii", width, height)
    return bytes(data)


def webp_of(width, height):
    dimensions = (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    chunk = b"VP8X" + struct.pack("<I", 10) + b"\x02\x00\x00\x00" + dimensions
    body = b"WEBP" + chunk + b"ANIM" + struct.pack("<IIH", 6, 0, 0)
    return b"RIFF" + struct.pack("<I", len(body)) + body


@pytest.mark.parametrize(
    "data",
    [
        png_of(50_000, 50_000),
        jpeg_of(60_000, 60_000),
        gif_of(65_000, 65_000),
        bmp_of(30_000, 30_000),
        webp_of(16_000_000, 16_000_000),
    ],
    ids=["png", "jpeg", "gif", "bmp", "webp"],
)
def test_a_bomb_is_refused_by_its_header_and_costs_no_memory(data):
    tracemalloc.start()
    try:
        with pytest.raises(TooManyPixels):
            decode(data)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 5_000_000


def test_the_limit_is_inclusive():
    data = encoded(picture(64, 48), "PNG")
    assert decode(data, max_pixels=64 * 48).size == (64, 48)
    with pytest.raises(TooManyPixels):
        decode(data, max_pixels=64 * 48 - 1)


def test_a_thread_of_pixels_is_refused():
    with pytest.raises(BrokenImage, match="sides may differ"):
        decode(encoded(Image.new("RGB", (1000, 2)), "PNG"))


@pytest.mark.parametrize("options", [{}, {"lossless": True}, {"exif": b"Exif\x00\x00"}])
def test_the_size_of_a_webp_is_read_from_its_header(options):
    assert webp.size(encoded(picture(61, 47), "WEBP", **options)) == (61, 47)


def test_a_large_jpeg_is_decoded_smaller_but_never_below_twice_what_is_needed():
    data = encoded(picture(2000, 1600), "JPEG")
    small = decode(data, shorter_side=110)
    assert 220 <= min(small.size) < 800
    assert decode(data, shorter_side=700).size == (2000, 1600)


@pytest.mark.parametrize("kind", FORMATS)
def test_random_damage_never_raises_anything_but_an_error_of_the_request(kind):
    data = encoded(picture(), kind)
    rng = random.Random(20_260_101)
    for _ in range(150):
        damaged = bytearray(data)
        for _ in range(rng.randint(1, 8)):
            damaged[rng.randrange(len(damaged))] = rng.randrange(256)
        with contextlib.suppress(RequestError):
            decode(bytes(damaged), max_pixels=1_000_000)
