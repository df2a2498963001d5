"""What `catfish quantize` makes: size and speed of a ResNet-50, and how the demo's trained model answers afterwards.

usage: make bench-quantize, or python -m benchmarks.quantize [--weights catfish-v2.pt]

One core, the median of the processor time for one image, eager and int8 by turns in the same process. Speed and size
do not depend on what a model has learned, so the ResNet-50 has random weights and its answers do not count; the
demo's model (`make demo` trains it) is asked for 300 pictures of animals that it has never seen. Exit code 1 where a
target is missed. Writes build/bench/quantize.json.
"""

import argparse
import json
import os
import sys
import tempfile
from pathlib import Path

import torch
from safetensors.torch import save_file
from torchvision.models import resnet50

from benchmarks import scenes
from benchmarks.drain import photograph
from catfish_server import cpus
from catfish_server.settings import IMAGENET_MEAN, IMAGENET_STD
from catfish_server.tools import agreement, int8, samples
from catfish_server.tools.agreement import Agreement
from catfish_server.tools.opened import Source
from demo import pictures, tools

TARGET = Path("build/bench/quantize.json")
CALIBRATION, CHECKED = 128, 300
DEMO_SIZE = 96
SPEED = {"AMX": 3.5, "AVX-512 VNNI": 3.5, "AVX2 VNNI": 3.5}
"""Times as fast as eager, by the instruction set; 3 for any other."""

LEAST_SPEED, MOST_SIZE, LEAST_AGREEMENT, LEAST_SHARE, LEAST_ACCURACY = 3.0, 0.3, 0.99, 0.3, 0.9


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


def resnet(folder: Path) -> dict[str, object]:
    """Speed and size of a ResNet-50 with the book's head of two classes."""
    torch.manual_seed(0)
    path = folder / "resnet50.safetensors"
    save_file(resnet50(num_classes=2).state_dict(), path, {"classes": '["cat", "fish"]'})
    for name in ("calibrate", "samples"):
        (folder / name).mkdir()
        for number in range(8):
            (folder / name / f"{number}.jpg").write_bytes(photograph())
    found, size = measured(Source(path=path, architecture="resnet50"), folder)
    least = SPEED.get(cpus.instruction_set(), LEAST_SPEED)
    return {
        "model": "resnet50, random weights",
        "ms_eager": 1000 * found.seconds_before,
        "ms_int8": 1000 * found.seconds_after,
        "speed_ratio": found.speedup,
        "size_ratio": size,
        "missed": [
            *([f"speed_ratio < {least}"] if found.speedup < least else []),
            *([f"size_ratio > {MOST_SIZE}"] if size > MOST_SIZE else []),
        ],
    }


def trained(weights: Path, folder: Path) -> dict[str, object]:
    """How the demo's model answers."""
    scenes.write(folder, size=DEMO_SIZE, calibrate=CALIBRATION, samples=CHECKED)
    source = Source(path=weights, architecture="resnet18", classes=pictures.CLASSES, image_size=DEMO_SIZE)
    found, size = measured(source, folder)
    accuracy, least = found.accuracy_before or 0.0, min(found.shares.values())
    return {
        "model": f"the demo's, {weights.name}",
        "n": found.n,
        "agreement": found.share,
        "agreement_lower_bound_95": found.lower_bound_95,
        "max_difference": found.max_difference,
        "shares": dict(found.shares),
        "accuracy_eager": accuracy,
        "accuracy_int8": found.accuracy_after,
        "speed_ratio": found.speedup,
        "size_ratio": size,
        "missed": [
            *([f"agreement < {LEAST_AGREEMENT}"] if found.share < LEAST_AGREEMENT else []),
            *([f"a class has less than {LEAST_SHARE} of eager's answers"] if least < LEAST_SHARE else []),
            *([f"accuracy of eager < {LEAST_ACCURACY}"] if accuracy < LEAST_ACCURACY else []),
            *([f"size_ratio > {MOST_SIZE}"] if size > MOST_SIZE else []),
        ],
    }


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
    arguments = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = "1"
    results: list[dict[str, object]] = []
    with tempfile.TemporaryDirectory() as one, tempfile.TemporaryDirectory() as other:
        results.append(resnet(Path(one)))
        if arguments.weights:
            results.append(trained(arguments.weights, Path(other)))
        else:
            print("no trained model here: run `make demo` first, or name one with --weights")
    print(f"one core, {cpus.instruction_set()}")
    for result in results:
        print(json.dumps(result, indent=2))
    TARGET.parent.mkdir(parents=True, exist_ok=True)
    TARGET.write_text(
        json.dumps({"instruction_set": cpus.instruction_set(), "results": results}, indent=2) + "\n"
    )
    return 1 if any(result["missed"] for result in results) else 0


if __name__ == "__main__":
    sys.exit(main())
