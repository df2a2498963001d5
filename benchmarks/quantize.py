"""What `catfish quantize` makes: size and speed of a ResNet-50, and how the demo's trained model answers afterwards.

usage: make bench-quantize, or python -m benchmarks.quantize [--weights catfish-v2.pt]

One core, the median of the processor time for one image, eager and int8 by turns in the same process: with all
instructions that the processor has, and with AVX2 alone where it has more (`cpuid_mask`). Speed and size do not
depend on what a model has learned, so the ResNet-50 has random weights and its answers do not count; the demo's model
(`make demo` trains it) is asked for 300 pictures of animals that it has never seen. Exit code 1 where a target is
missed or something was not measured. Writes build/bench/quantize.json.
"""

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import nn
from torchvision.models import resnet50

from benchmarks import cpuid_mask, scenes
from benchmarks.drain import photograph
from catfish_server import cpus
from catfish_server.settings import IMAGENET_MEAN, IMAGENET_STD
from catfish_server.tools import agreement, int8, samples
from catfish_server.tools.errors import ToolFailure
from catfish_server.tools.opened import Source
from catfish_server.tools.report import table
from catfish_server.tools.samples import Samples
from demo import pictures, tools

TARGET = Path("build/bench/quantize.json")
CALIBRATION, CHECKED = 128, 300
DEMO_SIZE = 96
WITH_VNNI = {"AMX", "AVX-512 VNNI", "AVX2 VNNI"}
MORE_THAN_AVX2 = {*WITH_VNNI, "AVX-512"}
SPEED_AND_SIZE = ("size_ratio", "ms_eager", "ms_int8", "speed_ratio")
FIGURES = (
    "n",
    "agreement",
    "lower_bound_95",
    "least_share",
    "accuracy_eager",
    "accuracy_int8",
    *SPEED_AND_SIZE,
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """A model as it is and in 8 bits, and what both are asked.

    Attributes:
        before: the weights.
        after: made of them.
        asked: pictures.
    """

    before: Source
    after: Source
    asked: Samples

    def figures(self) -> Row:
        """All of `FIGURES`, measured now."""
        found = agreement.measure(self.before, self.after, self.asked)
        return {
            "n": found.n,
            "agreement": found.share,
            "lower_bound_95": found.lower_bound_95,
            "least_share": min(found.shares.values()),
            "accuracy_eager": found.accuracy_before,
            "accuracy_int8": found.accuracy_after,
            "size_ratio": self.after.path.stat().st_size / self.before.path.stat().st_size,
            "ms_eager": 1000 * found.seconds_before,
            "ms_int8": 1000 * found.seconds_after,
            "speed_ratio": found.speedup,
        }


def quantized(source: Source, folder: Path) -> Pair:
    """Makes the model of 8 bits; the directory holds `calibrate` and `samples`."""
    opened = source.open()
    shown, asked = (
        samples.read(folder / name, image_size=opened.image_size, mean=IMAGENET_MEAN, std=IMAGENET_STD)
        for name in ("calibrate", "samples")
    )
    plain, made = folder / "float32.onnx", folder / "int8.onnx"
    int8.write_float32(opened, source.path, plain, example=shown.images[:1].repeat(2, axis=0))
    int8.static(plain, made, shown.images, full_range=False)
    after = Source(path=made, classes=opened.classes, image_size=opened.image_size)
    return Pair(before=source, after=after, asked=asked)


def resnet(folder: Path) -> Pair:
    """A ResNet-50 in a directory."""
    torch.manual_seed(0)
    path = folder / "resnet50.safetensors"
    save_file(with_the_book_s_head().state_dict(), path, {"classes": '["cat", "fish"]'})
    for name in ("calibrate", "samples"):
        (folder / name).mkdir()
        for number in range(8):
            (folder / name / f"{number}.jpg").write_bytes(photograph())
    return quantized(Source(path=path, architecture="resnet50"), folder)


def trained(weights: Path | None, folder: Path) -> Pair:
    """The demo's model.

    Raises:
        ToolFailure: it was not trained, or cannot be read.
    """
    if weights is None:
        raise ToolFailure("no trained model here: run `make demo` first, or name one with --weights")
    scenes.write(folder, size=DEMO_SIZE, calibrate=CALIBRATION, samples=CHECKED)
    source = Source(path=weights, architecture="resnet18", classes=pictures.CLASSES, image_size=DEMO_SIZE)
    return quantized(source, folder)


def instruction_sets(folder: Path) -> dict[str, Callable[[], AbstractContextManager[None]]]:
    """What to measure with, by name: all that the processor has, and AVX2 alone where it has more."""
    own = cpus.instruction_set()
    masked = {"AVX2": lambda: cpuid_mask.avx2(folder)} if own in MORE_THAN_AVX2 else {}
    return {own: nullcontext, **masked}


def judged(
    model: str, prepare: Callable[[Path], Pair], wanted: tuple[str, ...], limits: Callable[[str], Limits]
) -> list[Row]:
    """A row of the table for each instruction set: figures, and which targets are missed, or why nothing was measured.

    Args:
        model: its name.
        prepare: makes it in a directory.
        wanted: the figures that count.
        limits: for an instruction set.
    """
    with tempfile.TemporaryDirectory() as folder:
        sets = instruction_sets(Path(folder))
        try:
            pair = prepare(Path(folder))
        except (ToolFailure, pictures.PicturesUnavailable) as failure:
            return [_row(model, name, {}, f"not measured: {failure}") for name in sets]
        rows = []
        for name, only in sets.items():
            try:
                with only():
                    found = pair.figures()
            except (ToolFailure, cpuid_mask.Unavailable) as failure:
                rows.append(_row(model, name, {}, f"not measured: {failure}"))
            else:
                counted = {figure: found[figure] for figure in wanted}
                rows.append(_row(model, name, counted, "; ".join(missed(counted, limits(name)))))
        return rows


def _row(model: str, instruction_set: str, found: Row, told: str) -> Row:
    figures = {name: found.get(name) for name in FIGURES}
    return {"model": model, "instruction_set": instruction_set, **figures, "missed": told}


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
    rows = [
        *judged("resnet50, book's head, random weights", resnet, SPEED_AND_SIZE, speed_and_size),
        *judged("the demo's resnet18", lambda folder: trained(weights, folder), FIGURES, lambda _: ANSWERS),
    ]
    result = {"threads": 1, "rows": rows}
    print("\n".join(table(result)))
    TARGET.parent.mkdir(parents=True, exist_ok=True)
    TARGET.write_text(json.dumps(result, indent=2) + "\n")
    return 1 if any(row["missed"] for row in rows) else 0


if __name__ == "__main__":
    sys.exit(main())
