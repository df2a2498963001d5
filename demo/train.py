"""Train two sets of weights of a ResNet-18 at 96 pixels, from random values, and put them into the store.

Runs inside the server image as a Job, so that a user of the demo installs torch once. Both sets come from one
run: v1 is what its first part gives; v2 is the best of what follows, as the held-out cut-outs see it. They choose
it, so they flatter it: only the photograph has had no part in anything. Everything random comes from one seed.
"""

import argparse
import hashlib
import io
import json
import math
import time
import urllib.request
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from augment import Cutout, plain_scene, scene
from PIL import Image, ImageOps
from torch import Tensor, nn
from torchvision.models import resnet18

from catfish_server.inference.preprocess import preprocess, resized_side

IMAGE_SIZE = 96
MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)
BATCH = 32
SCENES_PER_CUTOUT = 20
V1_SHARE = 0.2  # the share of the run after which v1 is taken
CANDIDATES = 6  # for v2, evenly spread over the rest of the run


Judgement = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What the command line says."""

    pictures: str
    store: str
    steps: int
    seconds: float
    seed: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Pictures:
    """The cut-outs to train on, those held out, and the photographs with the index of their class."""

    classes: tuple[str, ...]
    train: tuple[Cutout, ...]
    held_out: tuple[Cutout, ...]
    photographs: tuple[tuple[str, int, Image.Image], ...]


def fetch(base: str) -> Pictures:
    """The pictures that `index.json` under the address lists."""
    index = json.loads(_get(f"{base}/index.json"))
    classes = tuple(index["classes"])
    cutouts: dict[str, list[Cutout]] = {"train": [], "held-out": []}
    photographs = []
    for entry in index["pictures"]:
        picture = Image.open(io.BytesIO(_get(f"{base}/{entry['file']}")))
        label = classes.index(entry["class"])
        if entry["use"] == "photograph":
            photographs.append((entry["file"], label, picture.convert("RGB")))
        else:
            cutout = Cutout(name=entry["file"], label=label, picture=_trimmed(picture.convert("RGBA")))
            cutouts[entry["use"]].append(cutout)
    return Pictures(
        classes=classes,
        train=tuple(cutouts["train"]),
        held_out=tuple(cutouts["held-out"]),
        photographs=tuple(photographs),
    )


def batches(pictures: Pictures, seed: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Endless batches: as many pictures of one class as of the other, whatever the number of cut-outs."""
    rng = np.random.default_rng(seed)
    by_class = [
        [cutout for cutout in pictures.train if cutout.label == label]
        for label in range(len(pictures.classes))
    ]
    while True:
        labels = [position % len(by_class) for position in range(BATCH)]
        images = [
            scene(by_class[label][rng.integers(len(by_class[label]))], IMAGE_SIZE, rng) for label in labels
        ]
        yield torch.stack([_tensor(image) for image in images]), torch.tensor(labels)


def train(model: nn.Module, pictures: Pictures, settings: Settings) -> Iterator[tuple[str, int]]:
    """Train in two cycles of the learning rate; yields ("v1", steps), then ("v2", steps) for each candidate."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.05)
    criterion = nn.CrossEntropyLoss(label_smoothing=0.05)
    source = batches(pictures, settings.seed)
    started = time.monotonic()
    share, step, average = 0.0, 0, math.log(2)
    apart = (1 - V1_SHARE) / CANDIDATES
    marks = [("v1", V1_SHARE), *(("v2", V1_SHARE + apart * (number + 1)) for number in range(CANDIDATES))]
    for version, end in marks:
        model.train()
        begin, length = (0.0, V1_SHARE) if version == "v1" else (V1_SHARE, 1 - V1_SHARE)
        while share < end - 1e-9:
            _set_rate(optimizer, (share - begin) / length)
            images, labels = next(source)
            loss = criterion(model(images.contiguous(memory_format=torch.channels_last)), labels)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            step += 1
            average = 0.95 * average + 0.05 * loss.item()
            elapsed = time.monotonic() - started
            share = max(step / settings.steps, elapsed / settings.seconds)
            if step % 50 == 0:
                print(f"step {step}/{settings.steps}  loss {average:.3f}  {elapsed:.0f} s", flush=True)
        yield version, step


def judge(model: nn.Module, pictures: Pictures) -> Judgement:
    """How it does on what it has not seen: held-out cut-outs on made-up backgrounds, and photographs."""
    model.eval()
    rng = np.random.default_rng(7)  # the same scenes for v1 and v2
    right: dict[str, int] = {}
    for cutout in pictures.held_out:
        scenes = [plain_scene(cutout, IMAGE_SIZE, rng) for _ in range(SCENES_PER_CUTOUT)]
        right[cutout.name] = int((_probabilities(model, scenes).argmax(dim=1) == cutout.label).sum())
    photographs = {
        name: round(float(_probabilities(model, [picture])[0, label]), 3)
        for name, label, picture in pictures.photographs
    }
    total = SCENES_PER_CUTOUT * len(pictures.held_out)
    return {
        "right": right,
        "of": SCENES_PER_CUTOUT,
        "accuracy": round(sum(right.values()) / total, 3),
        "photographs": photographs,
    }


def main(arguments: Sequence[str] | None = None) -> None:
    """Train, judge, and put weights, digests and a report into the store."""
    settings = _settings(arguments)
    torch.manual_seed(settings.seed)
    pictures = fetch(settings.pictures)
    model = resnet18(num_classes=len(pictures.classes)).to(memory_format=torch.channels_last)
    best: dict[str, tuple[Judgement, bytes]] = {}
    for version, steps in train(model, pictures, settings):
        judged = judge(model, pictures) | {"steps": steps}
        print(f"{version} candidate: {json.dumps(judged)}", flush=True)
        if version not in best or judged["accuracy"] >= best[version][0]["accuracy"]:
            best[version] = judged, _stored(model)
    report: dict[str, Judgement] = {}
    for version, (judged, content) in best.items():
        digest = hashlib.sha256(content).hexdigest()
        report[version] = judged | {"sha256": digest}
        _put(f"{settings.store}/catfish-{version}.pt", content)
        _put(f"{settings.store}/catfish-{version}.pt.sha256", f"{digest}  catfish-{version}.pt\n".encode())
        print(f"{version}: {json.dumps(report[version])}", flush=True)
    _put(f"{settings.store}/training.json", json.dumps(report, indent=2).encode())


def _stored(model: nn.Module) -> bytes:
    stored = io.BytesIO()
    torch.save({name: value.contiguous() for name, value in model.state_dict().items()}, stored)
    return stored.getvalue()


def _settings(arguments: Sequence[str] | None) -> Settings:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--pictures", required=True, help="address under which index.json and the pictures lie"
    )
    parser.add_argument("--store", required=True, help="address under which the weights are put")
    parser.add_argument("--steps", type=int, default=240)
    parser.add_argument(
        "--seconds", type=float, default=480, help="where the machine is slow: end after this time"
    )
    parser.add_argument("--seed", type=int, default=1)
    return Settings(**vars(parser.parse_args(arguments)))


def _set_rate(optimizer: torch.optim.Optimizer, share: float) -> None:
    """Up in the first tenth of a cycle, then down along a cosine."""
    factor = share / 0.1 if share < 0.1 else 0.5 * (1 + math.cos(math.pi * (share - 0.1) / 0.9))
    for group in optimizer.param_groups:
        group["lr"] = 1e-3 * max(0.02, factor)


def _trimmed(picture: Image.Image) -> Image.Image:
    return picture.crop(picture.getchannel("A").getbbox())


def _tensor(picture: Image.Image) -> Tensor:
    """What the server makes of a picture; one of the model's own size is neither resized nor cropped."""
    if picture.size == (IMAGE_SIZE, IMAGE_SIZE):
        picture = ImageOps.expand(picture, border=(resized_side(IMAGE_SIZE) - IMAGE_SIZE) // 2)
    return torch.from_numpy(preprocess(picture, image_size=IMAGE_SIZE, mean=MEAN, std=STD)[0])


def _probabilities(model: nn.Module, pictures: Sequence[Image.Image]) -> Tensor:
    with torch.inference_mode():
        return torch.softmax(model(torch.stack([_tensor(picture) for picture in pictures])), dim=1)


def _get(address: str) -> bytes:
    with urllib.request.urlopen(address, timeout=30) as reply:  # noqa: S310 - the store, named on the command line
        return bytes(reply.read())


def _put(address: str, body: bytes) -> None:
    request = urllib.request.Request(address, data=body, method="PUT")  # noqa: S310 - the same store
    with urllib.request.urlopen(request, timeout=60):  # noqa: S310 - the same store
        pass


if __name__ == "__main__":
    main()
