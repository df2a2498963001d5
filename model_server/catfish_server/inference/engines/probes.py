"""The images that engines are compared on, and how far two answers to them are apart."""

from collections.abc import Sequence

import numpy as np

from catfish_server.models.model import Images, Logits

SIZES = (1, 2, 5)
"""Of the batches: alone, the least that is several, and an odd number larger than an engine was built with."""

TOLERANCE = {"cpu": 1e-3, "cuda": 1e-2}
"""How far logits may be from eager's on the CPU, as a share of the largest. Float32 kernels that add in another
order differ by less than 1e-4; cuDNN's convolutions round to TF32 by themselves, 10 bits instead of 23."""

TIE = 1e-4
"""Two classes whose logits are closer than this share of the largest may change places: no kernel is that exact."""


def batches(image_size: int, *, sizes: Sequence[int] = SIZES, seed: int = 0) -> list[Images]:
    """Normalised images as preprocessing hands them over: float32 (n, 3, image_size, image_size), channels last.

    Noise of every pixel, noise in patches as large as an eye or a leaf, and plain colours, by turns.
    """
    random = np.random.default_rng(seed)
    images = [_image(random, number, image_size) for number in range(sum(sizes))]
    ends = np.cumsum(sizes)
    return [
        np.stack(images[end - size : end]).transpose(0, 3, 1, 2)
        for end, size in zip(ends, sizes, strict=True)
    ]


def _image(random: np.random.Generator, number: int, size: int) -> Images:
    """One image (size, size, 3); which kind goes by its number."""
    grain = (1, max(1, size // 14), size)[number % 3]
    coarse = random.standard_normal((-(-size // grain), -(-size // grain), 3), dtype=np.float32)
    return coarse.repeat(grain, axis=0).repeat(grain, axis=1)[:size, :size]


def difference(found: Sequence[Logits], expected: Sequence[Logits]) -> float:
    """The largest difference of two logits, as a share of the largest expected one.

    Infinite for another shape, for NaN, and where an image gets another class than expected; unless its two best
    classes are closer to each other than `TIE`.
    """
    pairs = list(zip(found, expected, strict=True))
    if any(one.shape != other.shape or not np.isfinite(one).all() for one, other in pairs):
        return float("inf")
    scale = max(1e-6, *(float(np.abs(other).max()) for _, other in pairs))
    if not all(_same_classes(one, other, tie=TIE * scale) for one, other in pairs):
        return float("inf")
    return max(float(np.abs(one - other).max()) for one, other in pairs) / scale


def _same_classes(found: Logits, expected: Logits, *, tie: float) -> bool:
    theirs = np.take_along_axis(expected, found.argmax(axis=1)[:, None], axis=1)[:, 0]
    return bool((expected.max(axis=1) - theirs <= tie).all())
