"""Modules of torch as models: numpy outside, tensors inside."""

from collections.abc import Callable

import numpy as np
import torch
from torch import nn

from catfish_server.models.model import Images, Logits, NotOneTensor


class TorchModel:
    """A module of torch, or anything else that is called with a tensor, on the thread that calls it.

    Args:
        module: from a tensor (n, 3, height, width) to one of (n, classes); in eval mode.
    """

    def __init__(self, module: Callable[[torch.Tensor], object]) -> None:
        self.module = module
        # Each inference thread is one of torch's; more of them than the CPU quota allows take many times as long
        # (one busy neighbour makes the p50 four times as long). For every thread that begins to compute after
        # this, the web's as well.
        torch.set_num_threads(1)

    @classmethod
    def channels_last(cls, module: nn.Module) -> "TorchModel":
        """The module with its weights in the memory layout in which convolutions are fastest on a CPU."""
        return cls(module.to(memory_format=torch.channels_last))  # type: ignore[call-overload]  # torch forgot it

    def __call__(self, batch: Images, /) -> Logits:
        """The module's logits.

        Raises:
            NotOneTensor: it answers something else.
        """
        with torch.inference_mode():
            outputs = self.module(_tensor(batch))
            if not isinstance(outputs, torch.Tensor):
                raise NotOneTensor(f"a {type(outputs).__name__}")
            logits: Logits = outputs.float().numpy()
            return logits


def _tensor(batch: Images) -> torch.Tensor:
    """The array as a tensor on the same memory and in the same layout; a copy only where torch takes no other."""
    # Of memory that is read-only, as that of a request's body, torch warns; strides it wants positive and whole.
    if not batch.flags.writeable or any(stride < 0 or stride % batch.itemsize for stride in batch.strides):
        batch = np.array(batch, order="K", copy=True)
    return torch.from_numpy(batch)
