"""What every loaded model is, whatever runs it: numpy arrays in and out."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Images = NDArray[np.float32]
"""Preprocessed images: float32 of shape (n, 3, height, width), in any memory layout."""

Logits = NDArray[np.float32]
"""What a model answers: float32 of shape (n, classes)."""


class NotOneTensor(Exception):
    """A model answered something else than one tensor; the text is what it was, as in "a tuple"."""


class Model(Protocol):
    """Answers one batch after another, from several threads at the same time."""

    def __call__(self, batch: Images, /) -> Logits:
        """The logits of a batch, in memory that no later call changes; the batch itself is left as it is."""
        ...


class OneByOne:
    """A model that takes one image at a time, in the place of one that takes batches.

    Args:
        model: is only ever called with a batch of one.
    """

    def __init__(self, model: Model) -> None:
        self.model = model

    def __call__(self, batch: Images, /) -> Logits:
        """The logits of the images, one after the other."""
        return np.concatenate([self.model(batch[number : number + 1]) for number in range(len(batch))])


@dataclass(frozen=True, slots=True, kw_only=True)
class Runtime:
    """What runs a model, for metadata and metrics.

    Attributes:
        engine: `torch`, `torchscript` or `onnxruntime`.
        device: `cpu`, or `cuda` with the number of the device, as torch writes it.
        instruction_set: of the processor, as `cpus.instruction_set` tells it.
        threads: inference threads.
    """

    engine: str
    device: str
    instruction_set: str
    threads: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """A model as it came out of its file.

    Attributes:
        model: what is to answer.
        reference: what it must agree with: the same without what was done to make it fast, or the model itself
            where nothing was done. None for a module whose keys and shapes have been checked already.
        classes: that the file names, as text; None where it names none.
        engine: what runs it: `torch`, `torchscript` or `onnxruntime`.
        device: where it runs, as in `Runtime`.
        preprocess: what the file says of preprocessing inside, as text; None: the model takes preprocessed images.
    """

    model: Model
    reference: Model | None
    classes: str | None
    engine: str = "torch"
    device: str = "cpu"
    preprocess: str | None = None
