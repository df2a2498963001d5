"""Where a torch module runs: on the CPU, or on a CUDA device where there is one."""

import torch
from torch import nn

from catfish_server.models.model import Images, Logits, Model
from catfish_server.models.module import TorchModel


def device() -> torch.device:
    """Where models run: the first CUDA device where there is one, else the CPU."""
    return torch.device("cuda", 0) if torch.cuda.is_available() else torch.device("cpu")


def on(place: torch.device, module: nn.Module) -> Model:
    """The module as a model on a device, to which it is moved.

    Args:
        place: the device.
        module: in eval mode, or TorchScript that is frozen.
    """
    return TorchModel(module) if place.type == "cpu" else Moving(module, place)


class Moving:
    """Carries each batch to a device and the logits back; safe to call from several threads.

    Args:
        module: in eval mode; it is moved to the device.
        place: the device.
    """

    def __init__(self, module: nn.Module, place: torch.device) -> None:
        self.module = module.to(place)
        self._place = place
        self._model = TorchModel(self._forward)

    def __call__(self, batch: Images, /) -> Logits:
        """The logits of a batch."""
        return self._model(batch)

    def _forward(self, images: torch.Tensor) -> object:
        # Only from pinned memory is a copy asynchronous; pinning keeps the strides.
        if self._place.type == "cuda":
            images = images.pin_memory()
        outputs: object = self.module(images.to(self._place, non_blocking=True))
        return outputs.cpu() if isinstance(outputs, torch.Tensor) else outputs
