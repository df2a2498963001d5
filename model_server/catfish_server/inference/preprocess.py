"""From a decoded image to the array that the model takes.

The arithmetic is that of torchvision's reference transforms for classification (Resize, CenterCrop, ToImage,
ToDtype, Normalize) on Pillow images, bit for bit up to the rounding of one float32 division; a test holds
them equal. Training for Catfish uses the same function, so that a model sees in service what it
saw when it learned.
"""

from collections.abc import Sequence

import numpy as np
from PIL import Image

from catfish_server.images import memory
from catfish_server.images.room import DECODED, Room
from catfish_server.models.model import Images


def resized_side(image_size: int) -> int:
    """The shorter side in pixels before the centre crop: 256 for 224, and in proportion for other sizes."""
    return round(image_size * 256 / 224)


def preprocess(
    image: Image.Image,
    *,
    image_size: int,
    mean: Sequence[float],
    std: Sequence[float],
    room: Room = DECODED,
) -> Images:
    """The image resized, cropped, scaled to 0..1 and normalised.

    Args:
        image: an RGB image of any size.
        image_size: height and width in pixels of the result.
        mean: of each channel, for values in 0..1.
        std: of each channel, for values in 0..1.
        room: in bytes, for the resized image; shared with everybody who decodes.

    Returns:
        float32 of shape (1, 3, image_size, image_size), channels last in memory, which is the caller's own.

    Raises:
        Overloaded: the others need all of the room.
    """
    pixels = np.array(_resized_and_cropped(image, image_size, room), dtype=np.float32)
    pixels /= np.float32(255)
    pixels -= np.asarray(mean, dtype=np.float32)
    pixels /= np.asarray(std, dtype=np.float32)
    return pixels.transpose(2, 0, 1)[np.newaxis]


def _resized_and_cropped(image: Image.Image, image_size: int, room: Room) -> Image.Image:
    shorter = resized_side(image_size)
    width, height = image.size
    # The longer side is cut down, not rounded: that is what torchvision does.
    upright = width <= height
    size = (shorter, int(shorter * height / width)) if upright else (int(shorter * width / height), shorter)
    left = round((size[0] - image_size) / 2)
    top = round((size[1] - image_size) / 2)
    # Twenty times what is kept of it, where it is as long as images may be. Pillow's own way to resize a part of an
    # image takes the part's corners as float32, and its answers are not those of the whole.
    with room.held(memory.BYTES_A_PIXEL * size[0] * size[1]):
        resized = image.resize(size, Image.Resampling.BILINEAR)  # Pillow always filters against aliasing
        return resized.crop((left, top, left + image_size, top + image_size))
