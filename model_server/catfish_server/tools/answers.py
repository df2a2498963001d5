"""What two models answer to the same images and how long it takes, in a process of its own: `python -m … DIRECTORY`.

`agreement` starts it: a file is loaded there as a server would load it, and nothing that made the file is around.
In the directory it finds `job.json` and an array of images for each model or one for both, and leaves `result.json`
and an array of logits for each model, or what was wrong. Where the job names pictures, the second model is given
their raw pixels.
"""

import io
import json
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from catfish_server.images.decode import decode
from catfish_server.inference.preprocess import resized_side
from catfish_server.models.model import Images, Logits
from catfish_server.models.pixels import Pixels, raw
from catfish_server.tools import written
from catfish_server.tools.errors import ToolFailure, cause, failure_of
from catfish_server.tools.opened import Opened, Source

JOB, RESULT = "job.json", "result.json"

WARM_UP = 3
"""Passes before the first that is timed; as in the server's warm-up."""

LEAST_TIMED = 20
"""Passes of each model that are timed, however few the images are."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A model and what it is asked.

    Attributes:
        path: of its file.
        model: answers.
        read: what it is given for an image, by the image's number.
    """

    path: Path
    model: Callable[[Any], Logits]
    read: Callable[[int], Any]

    def answer(self, number: int) -> tuple[Logits, float]:
        """The logits of an image, and the processor seconds that they took.

        Raises:
            ToolFailure: the model does not run for it.
        """
        image = self.read(number)
        began = time.process_time()
        try:
            logits = self.model(image)
        except Exception as error:
            raise ToolFailure(f"{self.path} does not run for a picture: {cause(error)}") from error
        return logits, time.process_time() - began


def main(arguments: Sequence[str]) -> int:
    """Does the job in a directory; the exit code is 0 once there is a result or a sentence that says why not."""
    directory = Path(arguments[0])
    job = json.loads((directory / JOB).read_bytes())
    try:
        found = [_opened(side) for side in job["sides"]]
        images = [np.load(directory / name, mmap_mode="r").transpose(0, 3, 1, 2) for name in job["images"]]
        sides = [_of_images(one, given) for one, given in zip(found, images, strict=True)]
        if job["pictures"] is not None:
            sides[1] = _of_pixels(found[1], job["pictures"])
        seconds = _run(sides, len(images[0]), directory)
        result = [{"classes": one.classes, "seconds": each} for one, each in zip(found, seconds, strict=True)]
        (directory / RESULT).write_text(json.dumps({"sides": result}))
    except Exception as error:  # noqa: BLE001 (told by the process that waits, which has the terminal)
        (directory / RESULT).write_text(json.dumps({"failure": str(failure_of(error))}))
    return 0


def images_file(number: int) -> str:
    """The name of an array with images, by its number."""
    return f"images-{number}.npy"


def logits_file(number: int) -> str:
    """The name of the array with the answers of the first (0) or the second (1) model."""
    return f"logits-{number}.npy"


def save(path: Path, array: Images | Logits) -> None:
    """Writes an array as `np.save` does, which would not say why it cannot.

    Args:
        path: of the file.
        array: contiguous.

    Raises:
        OSError: it cannot be written.
    """
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, np.lib.format.header_data_from_array_1_0(array))
    written.save(path, [header.getbuffer(), array.data.cast("B")])


def _opened(side: dict[str, Any]) -> Opened:
    # JSON has lists alone, and what is several values is a tuple in a Source.
    kept: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value for name, value in side.items()
    }
    kept["path"] = Path(kept["path"])
    return Source(**kept).open()


def _of_images(found: Opened, images: Images) -> Asked:
    """A model asked for images that are preprocessed as it takes them."""

    def read(number: int) -> Images:
        return np.array(images[number : number + 1], order="K")  # writable, as preprocessing hands it over

    return Asked(path=found.path, model=found.model, read=read)


def _of_pixels(found: Opened, pictures: Sequence[str]) -> Asked:
    """A model that has its preprocessing inside, asked for pictures as they are decoded."""
    model = raw(found.model)
    if model is None:
        raise ToolFailure(f"{found.path} does not say that it has its preprocessing inside")

    def read(number: int) -> Pixels:
        data = Path(pictures[number]).read_bytes()
        image = np.asarray(decode(data, shorter_side=resized_side(found.image_size)))
        return np.ascontiguousarray(image.transpose(2, 0, 1)[np.newaxis])

    return Asked(path=found.path, model=model.of_pixels, read=read)


def _run(sides: Sequence[Asked], count: int, directory: Path) -> list[float]:
    """Writes all answers, and returns the processor seconds an image of each model.

    The models take turns at every image: a neighbour that is busy for a while is busy for both.
    """
    answers: list[list[Logits]] = [[] for _ in sides]
    seconds: list[list[float]] = [[] for _ in sides]
    rounds = max(count, LEAST_TIMED)
    for turn in range(-WARM_UP, rounds):
        for side, given, taken in zip(sides, answers, seconds, strict=True):
            logits, took = side.answer(turn % count)
            if turn >= 0:
                taken.append(took)
            if 0 <= turn < count:
                given.append(logits)
        if turn >= 0:
            print(turn + 1, rounds, flush=True)  # noqa: T201 (read by `agreement`)
    for number, given in enumerate(answers):
        save(directory / logits_file(number), np.concatenate(given))
    return [statistics.median(taken) for taken in seconds]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
