"""What is reserved for decoding an image is no less than it takes, as the kernel counts it, whatever its format."""

import json
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from catfish_server.images import memory
from catfish_server.images.decode import MAX_PIXELS
from catfish_server.images.room import DECODING_BYTES
from tests.model_server.images.test_decode import encoded

SIDE = 1500
TURNED = Image.Exif()
TURNED[0x0112] = 6


def photograph(mode="RGB", side=SIDE):
    """Pixels that compress neither to nothing nor for long."""
    rows, columns = (axis.astype(np.uint16) for axis in np.ogrid[:side, :side])
    pixels = np.empty((side, side, 3), np.uint8)
    pixels[..., 0], pixels[..., 1], pixels[..., 2] = columns % 256, rows % 256, (rows + columns) // 16 % 256
    return Image.fromarray(pixels).convert(mode)


def transparent(side=SIDE):
    image = photograph("RGBA", side)
    image.putalpha(photograph("L", side))
    return image


def palette():
    return photograph().quantize(64)


def sixteen_bits():
    return Image.fromarray(np.full((SIDE, SIDE), 0x8001, np.uint16))


WEBP = {"method": 0, "quality": 50, "exif": TURNED}
FILES = {
    "a JPEG": (photograph, "JPEG", {}),
    "a JPEG that is turned": (photograph, "JPEG", {"exif": TURNED}),
    "a JPEG in grey": (lambda: photograph("L"), "JPEG", {"exif": TURNED}),
    "a JPEG for print": (lambda: photograph("CMYK"), "JPEG", {"exif": TURNED}),
    "a progressive JPEG": (photograph, "JPEG", {"progressive": True, "exif": TURNED}),
    "a progressive JPEG, colours whole": (
        photograph,
        "JPEG",
        {"progressive": True, "subsampling": 0, "exif": TURNED},
    ),
    "a progressive JPEG for print": (
        lambda: photograph("CMYK"),
        "JPEG",
        {"progressive": True, "subsampling": 0, "exif": TURNED},
    ),
    "a PNG": (photograph, "PNG", {}),
    "a PNG that is turned": (photograph, "PNG", {"exif": TURNED}),
    "a PNG in grey with alpha": (lambda: photograph("LA"), "PNG", {"exif": TURNED}),
    "a PNG with alpha": (transparent, "PNG", {"exif": TURNED}),
    "a PNG with a palette": (palette, "PNG", {"exif": TURNED, "transparency": bytes(range(64))}),
    "a PNG with a transparent colour": (photograph, "PNG", {"exif": TURNED, "transparency": (1, 2, 3)}),
    "a PNG of 16 bits": (sixteen_bits, "PNG", {"exif": TURNED}),
    "a GIF": (palette, "GIF", {}),
    "a transparent GIF": (palette, "GIF", {"transparency": 3}),
    "a BMP": (photograph, "BMP", {}),
    "a BMP with a palette": (palette, "BMP", {}),
    "a WebP": (photograph, "WEBP", WEBP),
    "a WebP with alpha": (transparent, "WEBP", WEBP),
    "a lossless WebP": (photograph, "WEBP", WEBP | {"lossless": True}),
    "a lossless WebP with alpha": (transparent, "WEBP", WEBP | {"lossless": True}),
    "an animated WebP": (
        transparent,
        "WEBP",
        WEBP | {"save_all": True, "append_images": [Image.new("RGBA", (SIDE, SIDE))]},
    ),
    "an animated lossless WebP": (
        transparent,
        "WEBP",
        WEBP | {"lossless": True, "save_all": True, "append_images": [Image.new("RGBA", (SIDE, SIDE))]},
    ),
}


def measured(path, *, shorter_side=0):
    told = subprocess.run(
        [sys.executable, "-m", "tests.model_server.images.peak", path, str(shorter_side)],
        capture_output=True,
        check=True,
        text=True,
    ).stdout
    return json.loads(told)


@pytest.mark.parametrize(("image", "kind", "options"), FILES.values(), ids=FILES)
@pytest.mark.parametrize("shorter_side", [0, 200], ids=["whole", "smaller"])
def test_no_more_is_taken_than_is_reserved(tmp_path, image, kind, options, shorter_side):
    path = tmp_path / "image"
    path.write_bytes(encoded(image(), kind, **options))
    told = measured(path, shorter_side=shorter_side)
    assert told["most"] <= told["reserved"], f"{told['most'] / SIDE**2:.2f} bytes a pixel"


@pytest.mark.parametrize("side", [2000, 5000])
@pytest.mark.parametrize("lossless", [False, True], ids=["lossy", "lossless"])
def test_a_large_webp_takes_no_more_than_is_reserved_or_than_there_is(tmp_path, side, lossless):
    """Of 2000 pixels its buffers lie in the heap, with holes between them; of 5000 it has the room alone."""
    path = tmp_path / "image"
    path.write_bytes(encoded(transparent(side), "WEBP", **WEBP | {"quality": 0, "lossless": lossless}))
    told = measured(path)
    assert told["most"] <= min(told["reserved"], DECODING_BYTES), (
        f"{told['most'] / side**2:.2f} bytes a pixel"
    )


def test_two_of_the_largest_images_fit_into_the_room_and_one_of_several_scans():
    size = (5000, MAX_PIXELS // 5000)
    assert 2 * memory.of_pixels(size, bands=3) <= DECODING_BYTES
    assert memory.of_pixels(size, bands=4, buffered_at=size) <= DECODING_BYTES
