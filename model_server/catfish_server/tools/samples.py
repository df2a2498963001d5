"""Pictures to try a model on, read as the server reads what is sent to it.

A directory holds pictures, or one directory for each class with pictures of it: the way in which people keep them
for training (torchvision's `ImageFolder`).
"""

import random
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from catfish_server.errors import RequestError
from catfish_server.images.decode import decode
from catfish_server.inference.preprocess import preprocess, resized_side
from catfish_server.models.model import Images
from catfish_server.tools.errors import ToolFailure

ENDINGS = frozenset({".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp"})
"""Of the files that are taken for pictures; lists and licences lie beside them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Samples:
    """Pictures, ready for a model.

    Attributes:
        names: of the files, relative to their directory.
        images: float32 (n, 3, image_size, image_size), channels last in memory.
        labels: the class that each shows, None where no directory tells.
    """

    names: tuple[str, ...]
    images: Images
    labels: tuple[str | None, ...]


Taking = Callable[[], Samples]
"""Reads pictures when they are needed: those of a thousand are gigabytes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Preparation:
    """What is done to pictures before a model takes them.

    Attributes:
        image_size: height and width in pixels of what it takes.
        mean: of each channel, for values in 0..1.
        std: of each channel, for values in 0..1.
    """

    image_size: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]


def read(
    directory: Path,
    *,
    image_size: int,
    mean: Sequence[float],
    std: Sequence[float],
    limit: int | None = None,
    progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> Samples:
    """The pictures in a directory and in the directories directly below it, which are named for their class.

    Args:
        directory: of the pictures.
        image_size: height and width in pixels of what the model takes.
        mean: of each channel, for values in 0..1.
        std: of each channel, for values in 0..1.
        limit: the most to read, as many of each class as there are; None: all.
        progress: told how many are read and how many there are.

    Raises:
        ToolFailure: there are none, or one is no picture that the server would take.
    """
    names = list_names(directory, limit=limit)
    images = np.empty((len(names), image_size, image_size, 3), dtype=np.float32)
    for number, name in enumerate(names):
        progress(number, len(names))
        image = _decoded(directory / name, image_size)
        images[number] = preprocess(image, image_size=image_size, mean=mean, std=std)[0].transpose(1, 2, 0)
    labels = tuple(label_of(name) for name in names)
    return Samples(names=tuple(names), images=images.transpose(0, 3, 1, 2), labels=labels)


def list_names(directory: Path, *, limit: int | None = None) -> list[str]:
    """The names of the pictures, relative to the directory, sorted; with a limit a choice that is always the same.

    Raises:
        ToolFailure: there are none.
    """
    if not directory.is_dir():
        raise ToolFailure(
            f"{directory} is no directory; it must hold pictures, or a directory of them per class"
        )
    found = sorted(
        str(path.relative_to(directory))
        for path in (*directory.glob("*"), *directory.glob("*/*"))
        if path.suffix.lower() in ENDINGS and path.is_file() and "/." not in f"/{path.relative_to(directory)}"
    )
    if not found:
        known = ", ".join(sorted(ENDINGS))
        raise ToolFailure(f"{directory} holds no pictures ({known}), nor do the directories in it")
    return found if limit is None or len(found) <= limit else sorted(_choice(found, limit))


def label_of(name: str) -> str | None:
    """The class that a picture shows by its relative name, None for one that lies in no directory of a class."""
    return name.partition("/")[0] if "/" in name else None


def _choice(names: Sequence[str], limit: int) -> list[str]:
    """As many of each class; not the first of each, which are often of one scene."""
    by_label: dict[str | None, list[str]] = defaultdict(list)
    for name in random.Random(0).sample(names, len(names)):  # noqa: S311 (the same choice every time)
        by_label[label_of(name)].append(name)
    turns = [(turn, name) for group in by_label.values() for turn, name in enumerate(group)]
    return [name for _, name in sorted(turns, key=lambda pair: pair[0])[:limit]]


def _decoded(path: Path, image_size: int) -> Image.Image:
    try:
        return decode(path.read_bytes(), shorter_side=resized_side(image_size))
    except RequestError as error:
        raise ToolFailure(f"{path} is not a picture that the server takes: {error.detail}") from error
    except OSError as error:
        raise ToolFailure(f"{path} cannot be read: {error.strerror}") from error
