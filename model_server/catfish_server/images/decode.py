"""From bytes that anybody may have sent to an RGB image, within limits that hold before a pixel is decoded.

Formats are an allowlist: Pillow knows dozens more, and each is a parser that hostile bytes would reach.
"""

import io
import warnings
from collections.abc import Sequence
from contextlib import ExitStack

from PIL import ExifTags, Image, PngImagePlugin, UnidentifiedImageError

from catfish_server.errors import RequestError
from catfish_server.images import jpeg, memory, metadata, webp
from catfish_server.images.room import DECODED, Room

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP")
"""What is decoded; of an animation the first frame."""

MAX_PIXELS = 25_000_000

MAX_ASPECT_RATIO = 20
"""Longer side to shorter side. Scaling the shorter side of a thread of pixels up to the model's size would
make the longer one gigantic, and the centre crop would look at next to nothing of it."""

MAX_SCANS = 100
"""Of a JPEG. Encoders write about ten; each costs a walk over all blocks, and an empty one next to no bytes."""

_SPARE_SCALE = 2
"""How many times larger than needed an image is kept at least: the filter after it is to see detail."""

_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""By EXIF's orientation. `ImageOps.exif_transpose` writes all of the EXIF anew besides: seconds where it is large."""

# Pillow warns of much that is odd in a file; a stranger's file is no news for this server's log.
warnings.filterwarnings("ignore", module=r"PIL\.")

# Pillow's own check warns or raises by thresholds of its own; `_check_size` is the limit here.
Image.MAX_IMAGE_PIXELS = None

# Of all texts of a PNG once they are unpacked, in characters of up to four bytes; Pillow's own limit is 64 Mi.
PngImagePlugin.MAX_TEXT_MEMORY = metadata.MAX_BYTES


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


def decode(
    data: bytes,
    *,
    max_pixels: int = MAX_PIXELS,
    formats: Sequence[str] = FORMATS,
    shorter_side: int | None = None,
    room: Room = DECODED,
) -> Image.Image:
    """The image in RGB, turned upright by its EXIF orientation.

    Args:
        data: an encoded image.
        max_pixels: width times height, read from the header.
        formats: of `FORMATS`, those that are taken.
        shorter_side: pixels that the caller needs of the shorter side; a large image is scaled to a fraction
            of its size then (a JPEG by its decoder), at least twice as large as needed. None: the full size.
        room: in bytes, shared with everybody else who decodes.

    Raises:
        NotAnImage: no known format.
        BrokenImage: truncated or damaged, a thread of pixels, or a JPEG of very many scans.
        TooMuchMetadata: more pieces or bytes beside the picture than `metadata` allows.
        TooManyPixels: more than `max_pixels`.
        Overloaded: the others need all of the room.
    """
    layout = metadata.check(data)
    try:
        with ExitStack() as held:
            # WebP's decoder allocates its canvas while the file is opened, so its header is read before.
            canvas = webp.size(data) if "WEBP" in formats else None
            if canvas is not None:
                _check_size(canvas, max_pixels)
                held.enter_context(room.held(memory.of_webp(canvas, encoded=len(data))))
            with Image.open(io.BytesIO(data), formats=tuple(formats)) as image:
                _check_size(image.size, max_pixels)
                buffered_at = image.size if _is_buffered(layout) else None
                if shorter_side is not None:
                    _decode_smaller(image, shorter_side)
                if canvas is None:
                    bands = len(image.getbands())
                    taken = memory.of_pixels(image.size, bands=bands, buffered_at=buffered_at)
                    held.enter_context(room.held(taken))
                pixels, turn = _loaded(image)
            del image  # and what its decoder keeps: from here on there are the pixels alone
            pixels = _turned(pixels, turn)
            return _smaller(pixels, shorter_side)
    except RequestError:
        raise
    except UnidentifiedImageError as error:
        raise NotAnImage(f"The bytes are none of {', '.join(formats)}.") from error
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


def _is_buffered(layout: jpeg.Layout | None) -> bool:
    """Says whether the decoder holds all of an image at its full size."""
    if layout is None:
        return False
    if layout.scans > MAX_SCANS:
        raise BrokenImage(f"The image has more than {MAX_SCANS} scans, each of which takes time.")
    return layout.buffered


def _decode_smaller(image: Image.Image, shorter_side: int) -> None:
    """Lets the JPEG decoder scale by 1/2, 1/4 or 1/8, which costs a fraction of decoding all pixels."""
    scale = min(image.size) / (shorter_side * _SPARE_SCALE)
    if scale >= _SPARE_SCALE:
        image.draft("RGB", (int(image.width / scale), int(image.height / scale)))


def _smaller(image: Image.Image, shorter_side: int | None) -> Image.Image:
    """The image by a whole fraction: what waits for the model after this has no room reserved."""
    scale = min(image.size) // (shorter_side * _SPARE_SCALE) if shorter_side is not None else 1
    return image.reduce(scale) if scale >= _SPARE_SCALE else image


def _loaded(image: Image.Image) -> tuple[Image.Image, Image.Transpose | None]:
    """The pixels in RGB, and how they are to be turned."""
    image.load()
    try:
        turn = _TURNS.get(image.getexif().get(ExifTags.Base.Orientation, 1))
    except Exception:  # noqa: BLE001 (damaged EXIF beside sound pixels: the picture counts)
        turn = None
    return _rgb(image), turn


def _turned(image: Image.Image, turn: Image.Transpose | None) -> Image.Image:
    return image.transpose(turn) if turn is not None else image


def _rgb(image: Image.Image) -> Image.Image:
    if image.mode == "RGB":
        # It is loaded, so closing its file leaves the pixels. A WebP's decoder stays with them, with its canvases.
        return image.copy() if image.format == "WEBP" else image
    if image.mode.startswith("I"):  # 16 bits of grey; convert() would clip them at 255 instead of scaling
        return image.point(lambda value: value * (1 / 256)).convert("L").convert("RGB")
    if "transparency" in image.info:
        opened, image = image, image.convert("RGBA")
        opened.close()
    return image.convert("RGB")
