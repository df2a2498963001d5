"""The server's preprocessing as a module of torch, for programs that have none of their own.

It makes the same numbers as `inference.preprocess` from the same pixels, but for one of 255 levels where a value lies
between two of them and Pillow's whole numbers round it otherwise than these floats: 1 in 1,000 of a photograph, more
where an image is resized by a ratio that makes many ties, as from 37 pixels to 36.
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from catfish_server.models.pixels import Preprocess

EXAMPLE = (300, 280)
"""Height and width of the pixels that it is exported with; any size is taken afterwards."""

SIDES = (2, 32768)
"""Pixels of a side that an exported program takes."""


class Preprocessing(nn.Module):
    """Resizes, cuts the centre out, scales to 0..1 and normalises.

    Both sides are resized by a matrix each, whose rows are what one pixel of the result is made of. TorchScript,
    torch.export and ONNX all know that for images of any size, and rows that would be cut off are never made.

    Args:
        how: the numbers.
    """

    mean: torch.Tensor
    std: torch.Tensor

    def __init__(self, how: Preprocess) -> None:
        super().__init__()
        self.size = how.image_size
        self.resized = how.resized
        self.register_buffer("mean", torch.tensor(how.mean).reshape(3, 1, 1))
        self.register_buffer("std", torch.tensor(how.std).reshape(3, 1, 1))

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """Images (n, 3, size, size) of RGB pixels in 0..255, uint8 (n, 3, height, width)."""
        if pixels.dtype != torch.uint8:  # as floats, nobody could tell 0..255 from 0..1
            raise ValueError("the model takes RGB pixels of 0..255 as uint8")
        height = torch.full((1,), pixels.shape[2], dtype=torch.int64)
        width = torch.full((1,), pixels.shape[3], dtype=torch.int64)
        across = self.rows(width, height, pixels.shape[3])
        down = self.rows(height, width, pixels.shape[2])
        # Across first, and rounded in between: as Pillow does it.
        narrow = torch.floor(torch.matmul(pixels.to(torch.float32), across.t()) + 0.5)
        square = torch.floor(torch.matmul(down, narrow) + 0.5)
        return (square / 255 - self.mean) / self.std

    def rows(self, side: torch.Tensor, other: torch.Tensor, pixels: int) -> torch.Tensor:
        """The matrix (size, pixels) for one side: Pillow's triangle filter, which grows with the scale.

        Args:
            side: its pixels, as a tensor: of numbers torch.export could not take the larger one.
            other: those of the other side.
            pixels: the same as `side`.
        """
        # The shorter side becomes `resized`, the longer one as much longer, cut down and not rounded.
        to = torch.clamp(torch.div(self.resized * side, other, rounding_mode="floor"), min=self.resized)
        spare = to - self.size
        half = torch.div(spare, 2, rounding_mode="floor")
        first = half + (spare % 2) * (half % 2)  # a half to the even one, as Python's round() does
        place = torch.arange(self.size).unsqueeze(1) + first
        # From the centre of each pixel to that of each place, in whole numbers: floats are exact near 0 only.
        distance = torch.abs((2 * torch.arange(pixels) + 1) * to - (2 * place + 1) * side)
        reach = 2 * torch.maximum(side, to)
        weights = torch.clamp(1 - distance.to(torch.float32) / reach.to(torch.float32), min=0)
        return weights / weights.sum(dim=1, keepdim=True)


class WithPreprocess(nn.Module):
    """A model of raw pixels.

    Args:
        preprocess: makes images of them.
        model: takes these.
    """

    def __init__(self, preprocess: nn.Module, model: nn.Module) -> None:
        super().__init__()
        self.preprocess = preprocess
        self.model = model
        self.eval()

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """Logits (n, classes) of RGB pixels in 0..255, uint8 (n, 3, height, width)."""
        logits: torch.Tensor = self.model(self.preprocess(pixels))
        return logits


def example(size: int, how: Preprocess | None) -> tuple[torch.Tensor, Mapping[int, Any]]:
    """Two images to export a model with, and the names of their dimensions that may have any size.

    Args:
        size: height and width in pixels that the model takes.
        how: the preprocessing inside, if there is any.
    """
    batch = {0: torch.export.Dim("batch")}
    if how is None:
        return torch.zeros(2, 3, size, size), batch
    least, most = SIDES
    sides = {
        axis: torch.export.Dim(name, min=least, max=most) for axis, name in ((2, "height"), (3, "width"))
    }
    return torch.zeros(2, 3, *EXAMPLE, dtype=torch.uint8), {**batch, **sides}


def whole(module: nn.Module, how: Preprocess | None) -> nn.Module:
    """The module with the preprocessing in front of it, if there is any."""
    return module if how is None else WithPreprocess(Preprocessing(how), module)
