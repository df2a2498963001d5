"""Asks two files for the same pictures, in a fresh process: writes its job, starts it, and reads what it says.

`agreement` calls it; the process is `answers`.
"""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from catfish_server.tools import answers
from catfish_server.tools.errors import ToolFailure
from catfish_server.tools.opened import Source
from catfish_server.tools.samples import Samples, Taking

DETAIL = 300
"""Characters that are told of an error that nobody expected."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What the process says of one file: the classes that it names, and processor seconds an image."""

    classes: list[str] | None
    seconds: float


def write(
    directory: Path, number: int, samples: Samples | Taking
) -> tuple[Sequence[str], Sequence[str | None]]:
    """Writes the images for the first (0) or the second (1) model, and keeps their names and labels alone."""
    taken = samples if isinstance(samples, Samples) else samples()
    # Channels last, in which they lie in memory: nothing is copied.
    images = np.ascontiguousarray(taken.images.transpose(0, 2, 3, 1))
    answers.save(directory / answers.images_file(number), images)
    return taken.names, taken.labels


def ask(
    directory: Path,
    sides: Sequence[Source],
    pictures: Sequence[Path] | None,
    progress: Callable[[int, int], None],
) -> list[Told]:
    """What the process says of each file, whose images are written; one array is for both sides.

    Raises:
        ToolFailure: a file cannot be used.
    """
    written = [(directory / answers.images_file(number)).exists() for number in range(len(sides))]
    job = {
        "sides": [{**asdict(side), "path": str(side.path.absolute())} for side in sides],
        "images": [answers.images_file(number if there else 0) for number, there in enumerate(written)],
        "pictures": None if pictures is None else [str(path.absolute()) for path in pictures],
    }
    (directory / answers.JOB).write_text(json.dumps(job))
    return _told(directory, sides, progress)


def _told(directory: Path, sides: Sequence[Source], progress: Callable[[int, int], None]) -> list[Told]:
    """What the process says of each file."""
    errors = directory / "stderr"
    with (
        errors.open("wb") as stderr,
        subprocess.Popen(
            # -P: a torch.py or a json.py that lies in the current directory is the user's, and nobody's module.
            [sys.executable, "-P", "-m", answers.__name__, str(directory)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "OMP_NUM_THREADS": "1"},
        ) as process,
    ):
        try:
            for line in process.stdout or ():
                done, _, total = line.partition(" ")
                if done.isdecimal() and total.strip().isdecimal():  # a model may print too
                    progress(int(done), int(total))
        except BaseException:
            process.kill()
            raise
    if process.returncode or not (directory / answers.RESULT).exists():
        raise ToolFailure(_unexpected(process.returncode, errors, sides))
    result = json.loads((directory / answers.RESULT).read_bytes())
    if "failure" in result:
        raise ToolFailure(result["failure"])
    return [Told(classes=side["classes"], seconds=side["seconds"]) for side in result["sides"]]


def _unexpected(code: int, errors: Path, sides: Sequence[Source]) -> str:
    lines = errors.read_text(errors="replace").strip().splitlines()
    if code == -signal.SIGKILL:
        ended = "the process was killed, as happens where there is not enough memory"
    elif code < 0:
        ended = f"the process ended with {signal.Signals(-code).name}"
    else:
        ended = lines[-1][:DETAIL] if lines else f"the process ended with exit code {code}"
    return f"{' and '.join(str(side.path) for side in sides)} could not be run beside each other: {ended}"
