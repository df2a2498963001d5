"""One small real network with real answers, saved in every format that a whole model comes in."""

import logging
import warnings
from dataclasses import dataclass
from pathlib import Path

import onnx
import torch
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, quantize_static
from torch import nn
from torchvision.models.resnet import BasicBlock, ResNet

CLASSES = '["cat", "fish"]'
SIZE = 32


def images(count, seed):
    """Batches of one image each, from pale to glaring."""
    generator = torch.Generator().manual_seed(seed)
    for _ in range(count):
        contrast = torch.rand((1, 1, 1, 1), generator=generator) * 4
        coarse = torch.randn((1, 3, 3, 3), generator=generator) * contrast
        yield nn.functional.interpolate(coarse, size=(SIZE, SIZE), mode="bilinear")


@dataclass(frozen=True)
class Files:
    network: nn.Module
    directory: Path

    def path(self, name):
        return self.directory / name


def network():
    """Random features, and a head that reads the direction in which they differ most: it has an opinion."""
    torch.manual_seed(7)
    made = ResNet(BasicBlock, [1, 1, 1, 1], num_classes=2).eval()
    with torch.inference_mode():
        trunk = nn.Sequential(*list(made.children())[:-1], nn.Flatten())
        features = torch.cat([trunk(image) for image in images(64, seed=9)])
    mean = features.mean(0)
    _, spread, directions = torch.linalg.svd(features - mean, full_matrices=False)
    reads = directions[0] * 3 * len(features) ** 0.5 / spread[0]
    made.fc.weight.data = torch.stack([reads, -reads]).clone()
    made.fc.bias.data = torch.stack([-(reads @ mean), reads @ mean])
    return made


def save_torchscript(module, path, classes=CLASSES):
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=DeprecationWarning)
        traced = torch.jit.trace(module, torch.zeros(1, 3, SIZE, SIZE), check_trace=False)
        torch.jit.save(traced, path, _extra_files={"classes": classes} if classes else None)


def save_exported(module, path, classes=CLASSES):
    program = torch.export.export(module, (torch.zeros(1, 3, SIZE, SIZE),))
    torch.export.save(program, path, extra_files={"classes": classes} if classes else None)


def save_onnx(module, path, classes=CLASSES):
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=DeprecationWarning)
        torch.onnx.export(module, (torch.zeros(1, 3, SIZE, SIZE),), path, dynamo=False, input_names=["image"])
    document = onnx.load(path)
    if classes:
        document.metadata_props.add(key="classes", value=classes)
    onnx.save(document, path)


class Calibration(CalibrationDataReader):
    def __init__(self):
        self.batches = ({"image": batch.numpy()} for batch in images(32, seed=1))

    def get_next(self):
        return next(self.batches, None)


def save_int8(source, path):
    logging.disable(logging.WARNING)  # advice on how to calibrate a model that is to be good
    try:
        quantize_static(source, path, Calibration(), quant_format=QuantFormat.QDQ, per_channel=True)
    finally:
        logging.disable(logging.NOTSET)


def save_all(directory):
    torch.set_num_threads(1)  # as in service; and small images are slower on more
    made = Files(network(), directory)
    save_torchscript(made.network, made.path("torchscript"))
    save_exported(made.network, made.path("exported"))
    save_onnx(made.network, made.path("onnx"))
    save_int8(made.path("onnx"), made.path("int8"))
    return made
