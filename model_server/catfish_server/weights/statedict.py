"""What people save as weights, made one thing: a flat mapping of names to dense tensors."""

from collections.abc import Mapping

import torch

from catfish_server.errors import NonFiniteWeights, UnsupportedFormat

WRAPPERS = ("state_dict", "model_state_dict", "model")
"""Keys of the checkpoints that training scripts write (Lightning, PyTorch's tutorials, torchvision's
references)."""

PREFIXES = ("module.", "_orig_mod.")
"""What DataParallel and torch.compile put before every key."""


def unwrap(loaded: object) -> dict[str, torch.Tensor]:
    """The weights in what `torch.load` returned.

    Raises:
        UnsupportedFormat: there are none.
    """
    if isinstance(loaded, Mapping):
        for wrapper in WRAPPERS:
            if isinstance(loaded.get(wrapper), Mapping):
                loaded = loaded[wrapper]
                break
    if not isinstance(loaded, Mapping):
        raise UnsupportedFormat(f"holds a {type(loaded).__name__}, not a state_dict; save model.state_dict()")
    if not loaded:
        raise UnsupportedFormat("holds no weights at all: its state_dict is empty")
    for key, value in loaded.items():
        if not isinstance(key, str):
            raise UnsupportedFormat(
                f"has a key that is a {type(key).__name__}, not a name; save model.state_dict()"
            )
        if not isinstance(value, torch.Tensor):
            raise UnsupportedFormat(
                f"holds a {type(value).__name__} under {key[:100]!r}, not a tensor; save model.state_dict()"
            )
        if value.layout is not torch.strided or value.is_quantized or value.device.type != "cpu":
            raise UnsupportedFormat(
                f"holds a tensor under {key[:100]!r} that is sparse, quantized or without data"
            )
    return dict(loaded)


def without_prefix(tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The same weights without what a wrapper around the model put before every key."""
    for prefix in PREFIXES:
        if all(key.startswith(prefix) for key in tensors):
            tensors = {key.removeprefix(prefix): value for key, value in tensors.items()}
    return dict(tensors)


def float32(key: str, value: torch.Tensor) -> torch.Tensor:
    """The tensor in memory of its own, in the precision that a CPU computes in; whole numbers stay whole.

    Raises:
        NonFiniteWeights: there is NaN or infinity in it; torch itself would load it in silence.
    """
    if not value.is_floating_point():
        return value.clone()
    converted = value.to(torch.float32, copy=True)
    check_finite(key, converted)
    return converted


def check_finite(key: str, value: torch.Tensor) -> None:
    """Raises NonFiniteWeights where there is NaN or infinity in the tensor."""
    if not _all_finite(value):
        bad = int((~torch.isfinite(value)).sum())
        raise NonFiniteWeights(f"holds {bad} values in {key[:100]!r} that are NaN or infinite")


def _all_finite(value: torch.Tensor) -> bool:
    if value.dtype is torch.float32 and value.layout is torch.strided and value.numel():
        # One pass and no copy; NaN among the values is both the least and the largest. isfinite takes 30 times as long.
        return all(bool(torch.isfinite(end)) for end in value.aminmax())
    return bool(torch.isfinite(value).all())
