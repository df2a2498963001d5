"""Pictures for `catfish quantize` of the demo's model, for the benchmark and for the tests that serve the result."""

from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from catfish_server.inference.preprocess import resized_side
from demo import augment, pictures, tools


def write(folder: Path, *, size: int, calibrate: int, samples: int) -> None:
    """Scenes of animals that the demo's model was trained on, and of others, in a directory for each class.

    Args:
        folder: gets the directories `calibrate` and `samples`.
        size: height and width in pixels of what is left once the server has cropped them.
        calibrate: how many to calibrate with.
        samples: how many to check with, of the animals that were held out.
    """
    cache = pictures.collect(tools.cache())
    border = (resized_side(size) - size) // 2
    for use, name, count in (("train", "calibrate", calibrate), ("held-out", "samples", samples)):
        random = np.random.default_rng(4)
        cutouts = [
            [
                _cutout(cache / each.file, label)
                for each in pictures.PICTURES
                if (each.label, each.use) == (kind, use)
            ]
            for label, kind in enumerate(pictures.CLASSES)
        ]
        for number in range(count):
            of_class = cutouts[number % len(cutouts)]
            made = augment.scene(of_class[random.integers(len(of_class))], size, random)
            path = folder / name / pictures.CLASSES[number % len(cutouts)] / f"{number:03}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            ImageOps.expand(made, border=border).save(path)  # the server crops it away again


def _cutout(path: Path, label: int) -> augment.Cutout:
    """An animal without the empty margin, as in training."""
    picture = Image.open(path).convert("RGBA")
    return augment.Cutout(
        name=path.name, label=label, picture=picture.crop(picture.getchannel("A").getbbox())
    )
