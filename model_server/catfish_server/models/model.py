"""What every loaded model is, whatever runs it."""

import re
from dataclasses import dataclass
from typing import Protocol

import torch

OUT_OF_MEMORY = re.compile(r"bad_alloc|allocate memory|not enough memory")
"""How the allocators of torch and of ONNX Runtime say so; neither has a class of error for it."""


class Model(Protocol):
    """Answers one batch after another, from several threads at the same time."""

    def __call__(self, batch: torch.Tensor, /) -> torch.Tensor:
        """Logits of shape (n, classes) for images of shape (n, 3, height, width), float32."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """A model as it came out of its file.

    Attributes:
        model: what is to answer.
        reference: what it must agree with: the same without what was done to make it fast, or the model itself
            where nothing was done. None for a module whose keys and shapes have been checked already.
        classes: that the file names, as text; None where it names none.
    """

    model: Model
    reference: Model | None
    classes: str | None
