"""Builds, verifies and times the engines, in a process of its own: `python -m … DIRECTORY`.

It is of the lowest priority, may use so much processor time and no more, is the first to go where memory runs out,
and ends when its parent does. What building takes, imports of hundreds of modules among it, goes with it; and its
Python holds no lock that a request waits for.

In the directory it finds `job.json` and `weights.pt`, and leaves each engine's file under the engine's name, eager's
answers, and `result.json`.
"""

import gc
import json
import os
import resource
import sys
import threading
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import nn

from catfish_server.inference.engines import choose, modules, probes, shelf
from catfish_server.inference.engines.candidates import BY_NAME, Candidate
from catfish_server.inference.engines.choose import Disagreement, Outcome, State
from catfish_server.models import registry
from catfish_server.models.model import Model
from catfish_server.models.module import TorchModel
from catfish_server.variables import EAGER

JOB, WEIGHTS, RESULT, TRYING = "job.json", "weights.pt", "result.json", "trying"

LOWEST_PRIORITY = 19
FIRST_TO_GO = "1000"
"""proc(5), oom_score_adj."""

DETAIL = 200
"""Characters of an error that are told: exporters write pages."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """What to build and where.

    Attributes:
        architecture: of the registry.
        classes: one for each output.
        image_size: height and width in pixels.
        device: as torch names it.
        engines: names of the candidates.
        forced: whether the only candidate is used however fast it is.
        cpu_seconds: of processor time, after which the kernel ends the trial.
    """

    architecture: str
    classes: tuple[str, ...]
    image_size: int
    device: str
    engines: tuple[str, ...]
    forced: bool
    cpu_seconds: int


def main(arguments: Sequence[str]) -> int:
    """Does the job in a directory; the exit code is 0 once there is a result."""
    directory = Path(arguments[0])
    job = Job(**json.loads((directory / JOB).read_bytes()))
    _step_back(job.cpu_seconds)
    weights = torch.load(directory / WEIGHTS, mmap=True, weights_only=True)
    module = registry.build(job.architecture, weights, classes=tuple(job.classes), image_size=job.image_size)
    TorchModel.channels_last(module)  # as the server's own
    outcomes = run(
        module,
        [BY_NAME[name] for name in job.engines],
        directory,
        place=torch.device(job.device),
        image_size=job.image_size,
        forced=job.forced,
    )
    (directory / RESULT).write_text(json.dumps([asdict(outcome) for outcome in outcomes]))
    return 0


def outcomes(directory: Path) -> list[Outcome]:
    """The result that a trial left in its directory.

    Raises:
        FileNotFoundError: it has not come to one.
    """
    told = json.loads((directory / RESULT).read_bytes())
    return [Outcome(**{**fields, "state": State(fields["state"])}) for fields in told]


def run(
    module: nn.Module,
    candidates: Sequence[Candidate],
    directory: Path,
    *,
    place: torch.device,
    image_size: int,
    forced: bool = False,
) -> list[Outcome]:
    """What becomes of each engine, eager first; exactly one is chosen.

    Args:
        module: eager, in eval mode, on the CPU; it is moved to the device.
        candidates: to be built.
        directory: where their files and eager's answers are left.
        place: the device.
        image_size: height and width in pixels.
        forced: whether the only candidate is used however fast it is.
    """
    torch.set_num_threads(1)  # as in the server
    batches = probes.batches(image_size)
    eager = modules.on(torch.device("cpu"), module)
    expected = [eager(batch) for batch in batches]
    shelf.write_answers(directory / shelf.EXPECTED, expected)
    models: dict[str, Model] = {EAGER: modules.on(place, module)}
    differences: dict[str, float] = {EAGER: 0.0}
    refused: list[Outcome] = []
    for candidate in candidates:
        (directory / TRYING).write_text(candidate.name)
        try:
            path = directory / candidate.name
            candidate.export(module, path, example=probes.batches(image_size, sizes=(2,))[0])
            gc.collect()
            model = candidate.load(path, place)
            differences[candidate.name] = choose.verify(
                model, batches, expected, tolerance=probes.TOLERANCE[place.type]
            )
            models[candidate.name] = model
        except Disagreement as error:
            refused.append(Outcome(engine=candidate.name, state=State.DISAGREES, detail=str(error)))
        except Exception as error:  # noqa: BLE001 (exporters raise whatever they like, and eager is there)
            detail = f"{type(error).__name__}: {' '.join(str(error).split())[:DETAIL]}"
            refused.append(Outcome(engine=candidate.name, state=State.FAILED, detail=detail))
    (directory / TRYING).unlink(missing_ok=True)
    times = choose.milliseconds(models, image_size=image_size, clock=choose.clock_of(place.type))
    chosen = choose.choose(times, forced=forced)
    compared = [
        Outcome(
            engine=name,
            state=State.CHOSEN if name == chosen else State.SLOWER,
            milliseconds=round(times[name], 3),
            difference=differences[name],
        )
        for name in models
    ]
    return compared + refused


def _step_back(cpu_seconds: int) -> None:
    """Takes what others leave, and ends with the parent, which holds the other end of standard input."""
    os.nice(LOWEST_PRIORITY)
    resource.setrlimit(
        resource.RLIMIT_CPU, (cpu_seconds, cpu_seconds + 5)
    )  # a signal that says why, then the end
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with suppress(OSError):  # another system than Linux
        Path("/proc/self/oom_score_adj").write_text(FIRST_TO_GO)

    def end_with_parent() -> None:
        os.read(sys.stdin.fileno(), 1)  # not through a buffer, whose lock it would hold when Python ends
        os._exit(1)

    threading.Thread(target=end_with_parent, daemon=True).start()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
