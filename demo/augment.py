"""Pictures to train on: cut-outs of animals pasted, turned and coloured onto backgrounds made up on the spot.

Used by train.py alone, inside the server image: only Pillow and numpy are there.
"""

from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageEnhance, ImageFilter

Colour = tuple[int, int, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Cutout:
    """An animal on a transparent ground, and the index of its class."""

    name: str
    label: int
    picture: Image.Image


def background(size: int, rng: np.random.Generator) -> Image.Image:
    """An RGB ground of `size` pixels square: flat, a gradient, blobs or noise, whatever the class."""
    kind = rng.integers(4)
    if kind == 0:
        return Image.new("RGB", (size, size), _colour(rng))
    if kind == 1:
        return _stretched(rng.integers(0, 256, (2, 2, 3)), size)
    if kind == 2:
        return _stretched(rng.integers(0, 256, (6, 6, 3)), size)
    blobs = np.asarray(_stretched(rng.integers(0, 256, (4, 4, 3)), size), dtype=np.float32)
    noisy = blobs + rng.normal(0, 35, blobs.shape)
    return Image.fromarray(noisy.clip(0, 255).astype(np.uint8)).filter(
        ImageFilter.GaussianBlur(float(rng.random() * 1.5))
    )


def scene(cutout: Cutout, size: int, rng: np.random.Generator) -> Image.Image:
    """An RGB picture of `size` pixels square: the animal whole, or only a part of it from near."""
    animal = _turned(cutout.picture, size, rng)
    ground = background(size, rng)
    ground.paste(animal, _position(animal, size, rng), animal)
    return _developed(ground, rng)


def plain_scene(cutout: Cutout, size: int, rng: np.random.Generator) -> Image.Image:
    """The animal as it is, whole, in the middle of a made-up background: for held-out cut-outs."""
    scale = 0.85 * size / max(cutout.picture.size)
    width, height = (max(8, round(side * scale)) for side in cutout.picture.size)
    animal = cutout.picture.resize((width, height))
    ground = background(size, rng)
    ground.paste(animal, ((size - animal.width) // 2, (size - animal.height) // 2), animal)
    return ground


def _turned(picture: Image.Image, size: int, rng: np.random.Generator) -> Image.Image:
    if rng.random() < 0.5:
        picture = picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    longest = size * float(np.exp(rng.uniform(np.log(0.7), np.log(3.0))))
    stretch = float(rng.uniform(0.85, 1.18))
    scale = longest / max(picture.size)
    picture = picture.resize(
        (max(8, round(picture.width * scale * stretch)), max(8, round(picture.height * scale)))
    )
    return picture.rotate(float(rng.normal(0, 12)), resample=Image.Resampling.BILINEAR, expand=True)


def _position(animal: Image.Image, size: int, rng: np.random.Generator) -> tuple[int, int]:
    """Where to paste: a random opaque pixel of the animal comes to lie near the middle."""
    rows, columns = np.nonzero(np.asarray(animal.getchannel("A")) > 128)
    if len(rows) == 0:
        return (size - animal.width) // 2, (size - animal.height) // 2
    if max(animal.size) <= size:  # whole in view
        room_x, room_y = size - animal.width, size - animal.height
        return int(rng.integers(room_x + 1)), int(rng.integers(room_y + 1))
    chosen = rng.integers(len(rows))
    shift = rng.normal(0, size / 10, 2)
    return int(size / 2 - columns[chosen] + shift[0]), int(size / 2 - rows[chosen] + shift[1])


def _developed(picture: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Light, contrast and colour as cameras differ in them."""
    picture = ImageEnhance.Brightness(picture).enhance(float(rng.uniform(0.75, 1.25)))
    picture = ImageEnhance.Contrast(picture).enhance(float(rng.uniform(0.75, 1.25)))
    picture = ImageEnhance.Color(picture).enhance(float(rng.uniform(0.5, 1.4)))
    gains = rng.uniform(0.93, 1.07, 3)
    tinted = np.asarray(picture, dtype=np.float32) * gains.astype(np.float32)
    picture = Image.fromarray(tinted.clip(0, 255).astype(np.uint8))
    if rng.random() < 0.3:
        picture = picture.filter(ImageFilter.GaussianBlur(float(rng.uniform(0.3, 1.2))))
    return picture


def _colour(rng: np.random.Generator) -> Colour:
    red, green, blue = (int(value) for value in rng.integers(0, 256, 3))
    return red, green, blue


def _stretched(values: np.ndarray, size: int) -> Image.Image:
    return Image.fromarray(values.astype(np.uint8)).resize((size, size), Image.Resampling.BICUBIC)
