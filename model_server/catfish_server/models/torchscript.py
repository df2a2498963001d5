"""TorchScript archives: programs of their author's, run by torch.

TorchScript is deprecated and works; everything that warns of it is in this module.
"""

import contextlib
import logging
import warnings
from pathlib import Path
from typing import Any

import torch
from torch import nn

from catfish_server.models.model import Loaded
from catfish_server.models.module import TorchModel
from catfish_server.models.pixels import PREPROCESS
from catfish_server.weights import exhausted, formats, statedict

logger = logging.getLogger(__name__)

DEPRECATED = r"`torch\.jit\.\w+` is deprecated"
"""What torch warns of at each call: it asks the author of the model, who is not here."""


def load(path: Path) -> Loaded:
    """The archive's module, frozen for inference, with the module itself as the reference.

    Raises:
        UnsupportedFormat: it cannot be loaded; the text completes "the file …".
        DamagedWeights: it is cut short or damaged.
        OutOfMemory: it asks for more than there is.
        NonFiniteWeights: there is NaN or infinity among its weights.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=DEPRECATED, category=DeprecationWarning)
        _warn_of_8_bits()
        return _load(path)


def _warn_of_8_bits() -> None:
    """Has torch say now, where it is not heard, what it says once: that tensors of 8 bits are deprecated.

    An archive that holds some makes it say so past Python's filters, as a line of its own on stderr
    (https://github.com/pytorch/pytorch/issues/184982).
    """
    with warnings.catch_warnings(), contextlib.suppress(AttributeError, RuntimeError):
        warnings.simplefilter("ignore")
        torch.quantize_per_tensor(torch.zeros(1), 1.0, 0, torch.quint8)


def _load(path: Path) -> Loaded:
    extra: dict[str, Any] = {"classes": "", PREPROCESS: ""}
    try:
        with exhausted.told():
            module: nn.Module = torch.jit.load(path, map_location="cpu", _extra_files=extra)  # type: ignore[no-untyped-call]  # torch.jit is half typed
            module.eval()
    except (RuntimeError, ValueError) as error:
        raise formats.unloadable(path, formats.Format.TORCHSCRIPT) from error
    for key, value in module.state_dict().items():
        statedict.check_finite(key, value)
    classes, preprocess = (_text(extra[name]) or None for name in ("classes", PREPROCESS))
    reference, fast = TorchModel(module), _fast(module)
    model = reference if fast is module else TorchModel(fast)
    return Loaded(
        model=model, reference=reference, classes=classes, engine="torchscript", preprocess=preprocess
    )


def _text(found: bytes | str) -> str:
    """An extra file: bytes, once it has been read."""
    return found.decode(errors="replace") if isinstance(found, bytes) else found


def _fast(module: nn.Module) -> nn.Module:
    """The module with its weights folded into its code; as it is where that cannot be done."""
    try:
        with torch.inference_mode():
            frozen = torch.jit.freeze(module)
            optimized: nn.Module = torch.jit.optimize_for_inference(frozen)
            return optimized
    except RuntimeError:
        logger.info("The TorchScript module cannot be frozen; it runs as it is.")
        return module
