import hashlib
import time

import pytest
import torch

from catfish_server.inference.engines.background import Background, Source
from catfish_server.lifecycle import Lifecycle, Stage
from catfish_server.models import registry
from catfish_server.models.module import TorchModel
from tests.model_server.engines import CLASSES, SIZE, resnet18_weights


@pytest.fixture(scope="session")
def weights():
    return resnet18_weights()


@pytest.fixture
def source(weights):
    """A ResNet-18 whose answers to different images differ, as eager torch runs it."""
    module = registry.build("resnet18", weights, classes=CLASSES, image_size=SIZE)
    model = TorchModel.channels_last(module)
    digest = hashlib.sha256(weights["fc.weight"].numpy().tobytes()).hexdigest()
    return Source(
        model=model,
        module=module,
        place=torch.device("cpu"),
        sha256=digest,
        architecture="resnet18",
        classes=CLASSES,
        image_size=SIZE,
    )


class Search:
    """One search: what it put in the place of eager, what it counted, and the search itself."""

    def __init__(self, source, directory, **options):
        self.lifecycle = Lifecycle()
        self.lifecycle.enter(Stage.READY)
        self.swapped, self.counted = [], []
        self.background = Background(
            source,
            **{
                "replace": lambda model, *, engine: self.swapped.append((engine, model)),
                "lifecycle": self.lifecycle,
                "directory": directory,
                "engine": "onnxruntime",
                "delay_seconds": 0.0,
                "count": lambda engine, state: self.counted.append((engine, state)),
                **options,
            },
        )

    def run(self):
        self.background.start()
        deadline = time.monotonic() + 300
        while not self.swapped and not self.background.join(0.05):
            assert time.monotonic() < deadline
        self.background.close()
        return self


@pytest.fixture
def search(source, tmp_path):
    searches = []

    def make(directory=tmp_path, **options):
        searches.append(Search(source, directory, **options))
        return searches[-1]

    yield make
    for made in searches:
        made.background.close()
