"""What `catfish quantize` makes: size and speed of a ResNet-50, and how the demo's trained model answers afterwards.

usage: make bench-quantize, or python -m benchmarks.quantize [--weights catfish-v2.pt]

One core, the median of the processor time for one image, eager and int8 by turns in the same process. Speed and size
do not depend on what a model has learned, so the ResNet-50 has random weights and its answers do not count; the
demo's model (`make demo` trains it) is asked for 300 pictures of animals that it has never seen. Exit code 1 where a
target is missed or something was not measured. Writes build/bench/quantize.json.
"""

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import nn
from torchvision.models import resnet50

from benchmarks import scenes
from benchmarks.drain import photograph
from catfish_server import cpus
from catfish_server.settings import IMAGENET_MEAN, IMAGENET_STD
from catfish_server.tools import agreement, int8, samples
from catfish_server.tools.agreement import Agreement
from catfish_server.tools.errors import ToolFailure
from catfish_server.tools.opened import Source
from catfish_server.tools.report import table
from demo import pictures, tools

TARGET = Path("build/bench/quantize.json")
CALIBRATION, CHECKED = 128, 300
DEMO_SIZE = 96
WITH_VNNI = {"AMX", "AVX-512 VNNI", "AVX2 VNNI"}
FIGURES = (
    "n",
    "agreement",
    "lower_bound_95",
    "least_share",
    "accuracy_eager",
    "accuracy_int8",
    "size_ratio",
    "ms_eager",
    "ms_int8",
    "speed_ratio",
)
"""Of a row: shares of the pictures, the least of a class among eager's answers, and ratios of int8 to eager."""

Row = dict[str, str | int | float | None]
Limits = Mapping[str, tuple[str, float]]


def speed_and_size(instruction_set: str) -> Limits:
    """What a ResNet-50 has to reach, by figure; the speed depends on what the processor has."""
    return {"speed_ratio": (">=", 3.5 if instruction_set in WITH_VNNI else 3.0), "size_ratio": ("<=", 0.3)}


ANSWERS: Limits = {
    "n": (">=", CHECKED),
    "agreement": (">=", 0.99),
    "least_share": (">=", 0.3),
    "accuracy_eager": (">=", 0.9),
    "size_ratio": ("<=", 0.3),
}
"""What the demo's model has to reach."""


def missed(row: Row, limits: Limits) -> list[str]:
    """The targets that a row misses; what was not measured misses its own."""

    def reached(value: object, sign: str, limit: float) -> bool:
        if not isinstance(value, int | float):
            return False
        return value >= limit if sign == ">=" else value <= limit

    return [
        f"{name} must be {sign} {limit:g}"
        for name, (sign, limit) in limits.items()
        if not reached(row.get(name), sign, limit)
    ]


def with_the_book_s_head() -> nn.Module:
    """A ResNet-50 of random weights whose last layer is replaced by that of the book, for two classes."""
    made: nn.Module = resnet50()
    made.fc = nn.Sequential(nn.Linear(2048, 500), nn.ReLU(), nn.Dropout(), nn.Linear(500, 2))
    return made


def measured(source: Source, folder: Path) -> tuple[Agreement, float]:
    """How the quantized model answers, and its size as a share; the directory holds `calibrate` and `samples`."""
    opened = source.open()
    shown, asked = (
        samples.read(folder / name, image_size=opened.image_size, mean=IMAGENET_MEAN, std=IMAGENET_STD)
        for name in ("calibrate", "samples")
    )
    plain, made = folder / "float32.onnx", folder / "int8.onnx"
    int8.write_float32(opened, source.path, plain, example=shown.images[:1].repeat(2, axis=0))
    int8.static(plain, made, shown.images, full_range=False)
    found = agreement.measure(
        source, Source(path=made, classes=opened.classes, image_size=opened.image_size), asked
    )
    return found, made.stat().st_size / source.path.stat().st_size


def resnet(folder: Path) -> Row:
    """Speed and size of a ResNet-50."""
    torch.manual_seed(0)
    path = folder / "resnet50.safetensors"
    save_file(with_the_book_s_head().state_dict(), path, {"classes": '["cat", "fish"]'})
    for name in ("calibrate", "samples"):
        (folder / name).mkdir()
        for number in range(8):
            (folder / name / f"{number}.jpg").write_bytes(photograph())
    found, size = measured(Source(path=path, architecture="resnet50"), folder)
    return {
        "ms_eager": 1000 * found.seconds_before,
        "ms_int8": 1000 * found.seconds_after,
        "speed_ratio": found.speedup,
        "size_ratio": size,
    }


def trained(weights: Path | None, folder: Path) -> Row:
    """How the demo's model answers.

    Raises:
        ToolFailure: it was not trained, or cannot be read.
    """
    if weights is None:
        raise ToolFailure("no trained model here: run `make demo` first, or name one with --weights")
    scenes.write(folder, size=DEMO_SIZE, calibrate=CALIBRATION, samples=CHECKED)
    source = Source(path=weights, architecture="resnet18", classes=pictures.CLASSES, image_size=DEMO_SIZE)
    found, size = measured(source, folder)
    return {
        "n": found.n,
        "agreement": found.share,
        "lower_bound_95": found.lower_bound_95,
        "least_share": min(found.shares.values()),
        "accuracy_eager": found.accuracy_before,
        "accuracy_int8": found.accuracy_after,
        "ms_eager": 1000 * found.seconds_before,
        "ms_int8": 1000 * found.seconds_after,
        "speed_ratio": found.speedup,
        "size_ratio": size,
    }


def judged(model: str, measure: Callable[[Path], Row], limits: Limits) -> Row:
    """A row of the table: all figures of a model, and which targets it misses; why, where it was not measured."""
    try:
        with tempfile.TemporaryDirectory() as folder:
            found = measure(Path(folder))
    except (ToolFailure, pictures.PicturesUnavailable) as failure:
        return {"model": model, **dict.fromkeys(FIGURES), "missed": f"not measured: {failure}"}
    row: Row = {"model": model, **{name: found.get(name) for name in FIGURES}}
    return {**row, "missed": "; ".join(missed(row, limits))}


def newest() -> Path | None:
    """The weights that the last `make demo` on this machine trained."""
    found = sorted(tools.cache().glob("demo/weights-*/catfish-v2.pt"), key=lambda path: path.stat().st_mtime)
    return found[-1] if found else None


def main() -> int:
    """Measures, prints and writes."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--weights", type=Path, default=newest(), help="of the demo's model; default: the last"
    )
    weights = parser.parse_args().weights
    os.environ["OMP_NUM_THREADS"] = "1"
    instruction_set = cpus.instruction_set()
    rows = [
        judged("resnet50, book's head, random weights", resnet, speed_and_size(instruction_set)),
        judged("the demo's resnet18", lambda folder: trained(weights, folder), ANSWERS),
    ]
    result = {"instruction_set": instruction_set, "threads": 1, "rows": rows}
    print("\n".join(table(result)))
    TARGET.parent.mkdir(parents=True, exist_ok=True)
    TARGET.write_text(json.dumps(result, indent=2) + "\n")
    return 1 if any(row["missed"] for row in rows) else 0


if __name__ == "__main__":
    sys.exit(main())
