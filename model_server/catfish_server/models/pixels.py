"""Whole models that prepare their images themselves, as `catfish export --with-preprocess` writes them.

They take raw pixels. Everything else in the server hands over images that are preprocessed, as to any other model; so
those are turned back into the pixels that they were made of, for which the model's own scaling has nothing to do. A
request is answered the same whether its model has the preprocessing inside or not.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import cast

import numpy as np
from numpy.typing import NDArray

from catfish_server.errors import InvalidSpec, UnsupportedFormat
from catfish_server.models.model import Images, Logits, Model, OneByOne
from catfish_server.settings import IMAGENET_MEAN, IMAGENET_STD

PREPROCESS = "preprocess"
"""The name of the text in a file that says so; it stands beside `classes`."""

MOST_PIXELS = 4096
"""Of a side, as a file may claim it; a hostile one would otherwise choose how much memory each request takes."""

Pixels = NDArray[np.uint8]
"""Raw images: RGB in 0..255, uint8 of shape (n, 3, height, width)."""

Triple = tuple[float, float, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Preprocess:
    """What a model does to pixels before it looks at them.

    Attributes:
        image_size: height and width in pixels of the square that is cut from the centre.
        resized: pixels of the shorter side before that.
        mean: of R, G and B in 0..1, subtracted.
        std: likewise, divided by.
    """

    image_size: int
    resized: int
    mean: Triple
    std: Triple

    @classmethod
    def read(cls, text: str) -> "Preprocess":
        """What the text in a file says.

        Raises:
            UnsupportedFormat: it is none of ours.
        """
        try:
            found = json.loads(text)
            mean, std = _triple(found["mean"]), _triple(found["std"])
            made = cls(image_size=found["image_size"], resized=found["resized"], mean=mean, std=std)
            sound = made._is_sound()
        except (ValueError, TypeError, KeyError, RecursionError):
            sound = False
        if not sound:
            raise UnsupportedFormat("does not say in its metadata how it prepares its images")
        return made

    def text(self) -> str:
        """To write into a file."""
        return json.dumps(asdict(self))

    @property
    def margin(self) -> int:
        """Pixels before the square in an image of which both sides are `resized`; a half goes to the even one."""
        return round((self.resized - self.image_size) / 2)

    def _is_sound(self) -> bool:
        whole = type(self.image_size) is int and type(self.resized) is int
        return whole and 0 < self.image_size <= self.resized <= MOST_PIXELS

    def check(self, *, image_size: int, mean: Sequence[float], std: Sequence[float]) -> None:
        """Holds what the spec says against it.

        Raises:
            InvalidSpec: it says something else.
        """
        if image_size != self.image_size:
            raise InvalidSpec(
                f"spec.model.imageSize: is {image_size}, and the model has its preprocessing inside, for "
                f"{self.image_size} pixels: set it to {self.image_size}"
            )
        for name, asked, default, own in (
            ("mean", tuple(mean), IMAGENET_MEAN, self.mean),
            ("std", tuple(std), IMAGENET_STD, self.std),
        ):
            if asked not in (default, own):
                raise InvalidSpec(
                    f"spec.model.{name}: the model has its preprocessing inside, with {', '.join(map(str, own))}: "
                    "leave it out"
                )


class OfPixels:
    """A model of raw pixels as one of preprocessed images.

    Args:
        model: takes `Pixels` of any size.
        preprocess: what it does to them.
        mean: with which the images that come are normalised.
        std: likewise.
    """

    def __init__(
        self, model: Model, preprocess: Preprocess, *, mean: Sequence[float], std: Sequence[float]
    ) -> None:
        self._model = model
        self.module: object = getattr(model, "module", None)  # of torch's, for who looks into it
        self._preprocess = preprocess
        self._scale = 255 * np.asarray(std, np.float32).reshape(3, 1, 1)
        self._offset = 255 * np.asarray(mean, np.float32).reshape(3, 1, 1)

    def __call__(self, batch: Images, /) -> Logits:
        """The logits of images that are preprocessed already."""
        return self.of_pixels(self._whole(batch))

    def of_pixels(self, pixels: Pixels) -> Logits:
        """The logits of raw images of one size, whatever it is."""
        return self._model(cast("Images", pixels))  # both runtimes take the type that the model was made for

    def _whole(self, batch: Images) -> Pixels:
        """Pixels of which the model's preprocessing makes the batch: it scales them by 1, and cuts the margin off."""
        side, size, margin = self._preprocess.resized, self._preprocess.image_size, self._preprocess.margin
        whole = np.zeros((len(batch), 3, side, side), np.uint8)
        square = np.rint(batch * self._scale + self._offset).clip(0, 255)
        whole[:, :, margin : margin + size, margin : margin + size] = square
        return whole


def raw(model: Model) -> OfPixels | None:
    """The model of pixels in a model that answers, None where there is none."""
    inner = model.model if isinstance(model, OneByOne) else model
    return inner if isinstance(inner, OfPixels) else None


def _triple(found: Sequence[float]) -> Triple:
    first, second, third = found
    return float(first), float(second), float(third)
