"""The book's two networks, with opinions, saved as TorchScript in the three ways and as ONNX."""

import warnings

import torch
from torch import nn
from torchvision import models

from catfish_server.models import heads
from catfish_server.models.cnnnet import CNNNet

CLASSES = '["cat", "fish"]'
EXAMPLE = torch.zeros(1, 3, 224, 224)


def resnet50():
    """With the head that the book gives it."""
    module = models.resnet50(weights=None)
    module.fc = nn.Sequential(nn.Linear(2048, 500), nn.ReLU(), nn.Dropout(), nn.Linear(500, 2))
    return module


MAKE = {"cnnnet": CNNNet, "resnet50": resnet50}


def network(name, images):
    """One that is in doubt about no two of the images in the same way."""
    torch.manual_seed(3)
    module = MAKE[name]().eval().requires_grad_(False)
    logits = module(images)
    last = heads.last_layer(module)[1]
    scale = 1 / (logits[:, 0] - logits[:, 1]).std()
    last.weight.mul_(scale)
    last.bias.copy_((last.bias - logits.mean(dim=0)) * scale)
    return module


class HybridCNNNet(nn.Module):
    """The book's mix: parts that are traced inside of a module that is scripted."""

    def __init__(self, module):
        super().__init__()
        self.features = torch.jit.trace(module.features, EXAMPLE)
        self.avgpool = module.avgpool
        self.classifier = torch.jit.trace(module.classifier, torch.zeros(1, 256 * 6 * 6))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.classifier(torch.flatten(self.avgpool(self.features(images)), 1))


class HybridResNet(nn.Module):
    def __init__(self, module):
        super().__init__()
        self.trunk = torch.jit.trace(nn.Sequential(*list(module.children())[:-1]), EXAMPLE)
        self.fc = module.fc

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.fc(torch.flatten(self.trunk(images), 1))


def _hybrid(module):
    return torch.jit.script(HybridCNNNet(module) if isinstance(module, CNNNet) else HybridResNet(module))


def _quantized(module):
    small = torch.ao.quantization.quantize_dynamic(module, {nn.Linear}, dtype=torch.qint8)
    return torch.jit.script(small)


WAYS = {
    "traced": lambda module: torch.jit.trace(module, EXAMPLE),
    "scripted": torch.jit.script,
    "hybrid": _hybrid,
    "quantized": _quantized,
}


def save(module, way, path, classes=CLASSES):
    """Saves the module; returns what Python runs of it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # each call of torch.jit and torch.ao says that it is deprecated
        made = WAYS[way](module)
        torch.jit.save(made, path, _extra_files={"classes": classes} if classes else None)
    return made
