"""A small network that knows reddish pictures from greenish ones, and pictures of both."""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from torchvision.models import resnet18

from catfish_server.inference.preprocess import preprocess
from catfish_server.settings import IMAGENET_MEAN, IMAGENET_STD
from catfish_server.tools import __main__ as tools
from tests.model_server.fitting import fit

CLASSES = ("cat", "fish")
SIZE = 32


def picture(random, label):
    """Patches of 8 pixels; the first class has more red in it, the second more green."""
    coarse = random.integers(0, 100, (6, 8, 3))
    coarse[..., label] += 150
    return Image.fromarray(coarse.astype(np.uint8)).resize((64, 48), Image.Resampling.NEAREST)


def fitted(pictures):
    """A ResNet-18 of random features, and a linear layer that looks which of the two means is nearer."""
    torch.manual_seed(3)
    made = resnet18(num_classes=2).eval()
    images = [preprocess(each, image_size=SIZE, mean=IMAGENET_MEAN, std=IMAGENET_STD) for each, _ in pictures]
    first = torch.tensor([label == 0 for _, label in pictures])
    fit(made, torch.from_numpy(np.concatenate(images)), first)
    return made


@dataclass(frozen=True)
class Kit:
    directory: Path

    @property
    def weights(self):
        return self.directory / "weights.safetensors"

    @property
    def pictures(self):
        return self.directory / "pictures"

    @property
    def grey(self):
        return self.directory / "grey"


@pytest.fixture(scope="session")
def kit(tmp_path_factory):
    made = Kit(tmp_path_factory.mktemp("tools"))
    random = np.random.default_rng(5)
    torch.set_num_threads(1)
    module = fitted([(picture(random, number % 2), number % 2) for number in range(160)])
    save_file(module.state_dict(), made.weights, {"classes": json.dumps(CLASSES)})
    for number in range(40):
        path = made.pictures / CLASSES[number % 2] / f"{number:02}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        picture(random, number % 2).save(path)
    made.grey.mkdir()
    Image.new("RGB", (64, 48), (120, 120, 120)).save(made.grey / "grey.png")
    return made


@pytest.fixture
def catfish(capsys):
    """Runs the command in this process: its exit code, what it printed, and what it complained of."""

    def run(*words):
        code = tools.run([str(word) for word in words])
        told = capsys.readouterr()
        return code, told.out, told.err

    return run
