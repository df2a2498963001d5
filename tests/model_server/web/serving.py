"""A whole server process with a random model, for the tests that send it signals.

usage: serving.py DRAIN_SECONDS [MODEL_SECONDS [GRPC_PORT]]
"""

import logging
import sys
import time

import torch
from torchvision import models

from catfish_server.inference.classifier import Classifier
from catfish_server.lifecycle import Lifecycle
from catfish_server.models.module import TorchModel
from catfish_server.settings import Settings
from catfish_server.web.server import Server

logger = logging.getLogger(__name__)


class Slow(torch.nn.Module):
    def __init__(self, module, seconds):
        super().__init__()
        self.module, self.seconds = module, seconds

    def forward(self, batch):
        time.sleep(self.seconds)
        return self.module(batch)


def main():
    logging.basicConfig(level="INFO", format="%(message)s")
    settings = Settings(
        location="unused.pt",
        classes=("cat", "fish"),
        host="127.0.0.1",
        port=0,
        admin_port=0,
        grpc_port=int(sys.argv[3]) if len(sys.argv) > 3 else 0,
        image_size=32,
        threads=2,
        drain_seconds=float(sys.argv[1]),
    )
    lifecycle = Lifecycle()
    server = Server(settings, lifecycle)
    server.start_admin()
    logger.info("admin %d", server.admin_port)
    module = models.resnet18(weights=None, num_classes=2).eval()
    if len(sys.argv) > 2:
        module = Slow(module, float(sys.argv[2]))
    classifier = Classifier(
        TorchModel(module),
        settings.classes,
        image_size=32,
        mean=settings.mean,
        std=settings.std,
        unknown_threshold=None,
        threads=2,
    )
    server.run(classifier)
    logger.info("returned")


if __name__ == "__main__":
    main()
