"""How soon a container of each image is Ready, beside a bare import of torch in the same image and the same minutes.

usage: make bench-start, or python -m benchmarks.start [--rounds 3]

A ResNet-50 with random weights lies on the disk, in the formats that people have: with the book's head as torch.save
writes it, as safetensors, as ONNX. runc starts each container (tests/e2e/container.py), all of them by turns; the clock
runs from runc being called until /readyz answers 200, or until torch and torchvision are imported. A round before those
that count brings all files into memory. The best of the rounds counts. Needs root on Linux; images that are missing
are built. Prints a table, writes build/bench/start.json, and ends with 1 when a target is missed.
"""

import argparse
import json
import sys
import tempfile
import time
import warnings
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from localcluster import images
from tests.e2e import container

TARGET = Path("build/bench/start.json")
PATIENCE_SECONDS = 120.0
CLASSES = '["cat", "fish"]'
IMPORTED = "torch is imported"
IMPORT = f"import torch, torchvision, time; print({IMPORTED!r}, flush=True); time.sleep(600)"
WHOLE_SECONDS, BEYOND_SECONDS = 3.0, 3.0
"""To Ready without torch, and with it beyond its bare import in the same image."""


@dataclass(frozen=True, kw_only=True)
class Start:
    """What is started.

    Attributes:
        image: its short name.
        file: of the weights; None: torch is imported, and nothing else.
    """

    image: str
    file: str | None

    def __str__(self) -> str:
        what = f"Ready with {self.file}" if self.file else "import torch, torchvision"
        return f"{self.image}: {what}"


BARE = Start(image="server", file=None)
STARTS = (
    BARE,
    Start(image="server", file="resnet50.pt"),
    Start(image="server", file="resnet50.safetensors"),
    Start(image="server-onnx", file="resnet50.onnx"),
)


def write_weights(folder: Path) -> None:
    """The same network in every format."""
    import torch  # noqa: PLC0415 (seconds, which --help need not take)
    from safetensors.torch import save_file  # noqa: PLC0415
    from torch import nn  # noqa: PLC0415
    from torchvision.models import resnet50  # noqa: PLC0415

    torch.manual_seed(0)
    network = resnet50(weights=None).eval()
    network.fc = nn.Sequential(nn.Linear(2048, 500), nn.ReLU(), nn.Dropout(), nn.Linear(500, 2)).eval()
    torch.save(network.state_dict(), folder / "resnet50.pt")
    save_file(network.state_dict(), folder / "resnet50.safetensors", {"classes": CLASSES})
    with warnings.catch_warnings():  # the exporter that needs no other package is the old one
        warnings.filterwarnings("ignore", category=DeprecationWarning)
        example = (torch.zeros(1, 3, 224, 224),)
        torch.onnx.export(network, example, folder / "resnet50.onnx", dynamo=False, input_names=["image"])
    for path in (folder, *folder.iterdir()):
        path.chmod(0o755)  # the image's user reads them


def seconds(start: Start, image: container.Image, folder: Path) -> float:
    """From the container runtime being called to Ready, or to torch being imported."""
    with ExitStack() as leaving:
        directory = Path(leaving.enter_context(tempfile.TemporaryDirectory(prefix="catfish-start-")))
        netns = leaving.enter_context(container.cable())
        env = {"CATFISH_MODEL_LOCATION": f"{container.MOUNTED}/{start.file}", "CATFISH_DRAIN_SECONDS": "0"}
        arguments = () if start.file else ("-c", IMPORT)
        began = time.monotonic()
        running = leaving.enter_context(
            container.running(image, directory, netns=netns, env=env, folder=folder, arguments=arguments)
        )
        there = running.ready if start.file else lambda: IMPORTED in running.text()
        running.until(there, seconds=PATIENCE_SECONDS)
        return time.monotonic() - began


def measure(rounds: int) -> dict[Start, list[float]]:
    """The seconds of every start, in the order of the rounds."""
    short = sorted({start.image for start in STARTS})
    found: dict[Start, list[float]] = {start: [] for start in STARTS}
    with ExitStack() as leaving:
        opened = {
            name: leaving.enter_context(container.opened(full))
            for name, full in zip(short, images.build(short), strict=True)
        }
        folder = Path(leaving.enter_context(tempfile.TemporaryDirectory(prefix="catfish-weights-")))
        write_weights(folder)
        for number in range(rounds + 1):
            for start in STARTS:
                took = seconds(start, opened[start.image], folder)
                if number:
                    found[start].append(took)
    return found


@dataclass(frozen=True, kw_only=True)
class Row:
    """What came of one kind of start.

    Attributes:
        start: which.
        seconds: of every round.
        most: seconds that the best of them may take; None: as long as it likes.
    """

    start: Start
    seconds: list[float]
    most: float | None

    @property
    def best(self) -> float:
        """The least of the seconds."""
        return min(self.seconds)

    @property
    def missed(self) -> bool:
        """Whether even the best took too long."""
        return self.most is not None and self.best > self.most


def judged(found: Mapping[Start, list[float]]) -> list[Row]:
    """A row for each start; those with torch are compared with the bare import."""
    bare = min(found[BARE])
    most = {"server": bare + BEYOND_SECONDS, "server-onnx": WHOLE_SECONDS}
    return [
        Row(start=start, seconds=took, most=None if start is BARE else most[start.image])
        for start, took in found.items()
    ]


def table(rows: list[Row]) -> str:
    """The figures, a line a start."""
    lines = [f"{'':42}  best s  at most s  all s"]
    for row in rows:
        most = "" if row.most is None else f"{row.most:.2f}"
        each = " ".join(f"{one:.2f}" for one in row.seconds)
        lines.append(
            f"{row.start!s:42}  {row.best:6.2f}  {most:>9}  {each}{'  MISSED' if row.missed else ''}"
        )
    return "\n".join(lines)


def main(arguments: list[str]) -> int:
    """Measures, prints and writes."""
    parser = argparse.ArgumentParser(prog="benchmarks.start", description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    rows = judged(measure(parser.parse_args(arguments).rounds))
    print(table(rows))
    written = [
        {
            "start": str(row.start),
            "seconds": row.seconds,
            "best": row.best,
            "most": row.most,
            "missed": row.missed,
        }
        for row in rows
    ]
    TARGET.parent.mkdir(parents=True, exist_ok=True)
    TARGET.write_text(json.dumps(written, indent=2) + "\n")
    return int(any(row.missed for row in rows))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
