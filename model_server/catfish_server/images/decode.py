"""From bytes that anybody may have sent to an RGB image, within limits that hold before a pixel is decoded.

Formats are an allowlist: Pillow knows dozens more, and each is a parser that hostile bytes would reach.
"""

import io
import warnings

import numpy as np
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

from catfish_server.errors import RequestError
from catfish_server.images import webp

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP")
"""What is decoded; of an animation the first frame."""

MAX_PIXELS = 25_000_000

MAX_ASPECT_RATIO = 20
"""Longer side to shorter side. Scaling the shorter side of a thread of pixels up to the model's size would
make the longer one gigantic, and the centre crop would look at next to nothing of it."""

_SPARE_SCALE = 2
"""How many times larger than needed a JPEG is decoded at least: the filter after it is to see detail."""

# Pillow warns of much that is odd in a file; a stranger's file is no news for this server's log.
warnings.filterwarnings("ignore", module=r"PIL\.")

# Pillow's own check warns or raises by thresholds of its own; `_check_size` is the limit here.
Image.MAX_IMAGE_PIXELS = None


class NotAnImage(RequestError):
    """The bytes are not an image of a format that is decoded here."""

    status = 415
    title = "Unsupported image format"


class BrokenImage(RequestError):
    """The bytes begin like an image and are none."""

    status = 422
    title = "The image cannot be decoded"


class TooManyPixels(RequestError):
    """The image is larger than the limit, by what its header says."""

    status = 413
    title = "The image is too large"


def decode(data: bytes, *, max_pixels: int = MAX_PIXELS, shorter_side: int | None = None) -> Image.Image:
    """The image in RGB, turned upright by its EXIF orientation.

    Args:
        data: an encoded image.
        max_pixels: width times height, read from the header.
        shorter_side: pixels that the caller needs of the shorter side; a large JPEG is decoded at a fraction
            of its size then, at least twice as large as needed. None: the full size.

    Raises:
        NotAnImage: no known format.
        BrokenImage: truncated or damaged, or a thread of pixels.
        TooManyPixels: more than `max_pixels`.
    """
    # WebP's decoder allocates its canvas while the file is opened, so its header is read before.
    if (size := webp.size(data)) is not None:
        _check_size(size, max_pixels)
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as image:
            _check_size(image.size, max_pixels)
            if shorter_side is not None:
                _decode_smaller(image, shorter_side)
            return _rgb(_upright(image))
    except RequestError:
        raise
    except UnidentifiedImageError as error:
        raise NotAnImage(f"The bytes are none of {', '.join(FORMATS)}.") from error
    except Exception as error:  # Pillow raises a dozen types on damaged files; none of them may be a 500
        raise BrokenImage("The image is truncated or damaged.") from error


def _check_size(size: tuple[int, int], max_pixels: int) -> None:
    width, height = size
    if width * height > max_pixels:
        raise TooManyPixels(f"The image has {width} x {height} pixels; the limit is {max_pixels} in all.")
    if min(size) < 1 or max(size) > MAX_ASPECT_RATIO * min(size):
        raise BrokenImage(
            f"The image has {width} x {height} pixels; sides may differ {MAX_ASPECT_RATIO} times."
        )


def _decode_smaller(image: Image.Image, shorter_side: int) -> None:
    """Lets the JPEG decoder scale by 1/2, 1/4 or 1/8, which costs a fraction of decoding all pixels."""
    scale = min(image.size) / (shorter_side * _SPARE_SCALE)
    if scale >= _SPARE_SCALE:
        image.draft("RGB", (int(image.width / scale), int(image.height / scale)))


def _upright(image: Image.Image) -> Image.Image:
    image.load()
    try:
        turned = image.getexif().get(ExifTags.Base.Orientation, 1) != 1
    except Exception:  # noqa: BLE001 (damaged EXIF beside sound pixels: the picture counts)
        turned = False
    return ImageOps.exif_transpose(image) if turned else image


def _rgb(image: Image.Image) -> Image.Image:
    if image.mode == "RGB":
        return image.copy()
    if image.mode.startswith("I"):  # 16 bits of grey; convert() would clip them at 255 instead of scaling
        grey = np.asarray(image).astype(np.uint32) >> 8
        return Image.fromarray(grey.clip(0, 255).astype(np.uint8)).convert("RGB")
    if "transparency" in image.info:
        image = image.convert("RGBA")
    return image.convert("RGB")
