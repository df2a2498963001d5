"""Models by name, built around their weights: any classifier of torchvision, and the book's CNNNet."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.overrides import TorchFunctionMode

from catfish_server.errors import ArchitectureMismatch, InvalidSpec
from catfish_server.models import heads
from catfish_server.models.cnnnet import CNNNet
from catfish_server.models.vision import models

LISTED = 5
"""Differences that a message names; the others are counted."""

AUXILIARY = {"googlenet": "aux1.", "inception_v3": "AuxLogits."}
"""Architectures with a second head that only training uses, and how the keys of that head begin."""

Shape = tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """One name on which the model and the weights do not agree.

    Attributes:
        key: the name in the state_dict.
        expected: the shape that the model has there, None when it has nothing of that name.
        found: the shape that the weights have there, None when they have nothing of that name.
    """

    key: str
    expected: Shape | None
    found: Shape | None

    def __str__(self) -> str:
        expected, found = (_text(shape) for shape in (self.expected, self.found))
        return f"{self.key[:80]}: expected {expected}, found {found}"


def build(
    architecture: str,
    weights: Mapping[str, torch.Tensor],
    *,
    classes: tuple[str, ...] | None,
    image_size: int = 224,
    head_hidden: int | None = None,
) -> nn.Module:
    """The model with these weights, ready for inference: eval mode, no gradients.

    Args:
        architecture: a name of torchvision's registry, or `cnnnet`.
        weights: by name, floating ones as float32; they become the model's own.
        classes: one for each output; None where nobody has named them: as many as there are outputs.
        image_size: height and width of the images in pixels.
        head_hidden: width of the hidden layer that the head must have, None: whatever the weights have.

    Raises:
        InvalidSpec: there is no such architecture, or none for images of that size.
        ArchitectureMismatch: the weights are another model's.
    """
    shapes = {key: tuple(tensor.shape) for key, tensor in weights.items()}
    with _Unfilled():
        model = _fitted(_fresh(architecture, shapes, image_size), shapes)
    differences = _differences(model, weights)
    if differences:
        raise ArchitectureMismatch(_sentence(architecture, differences))
    _check_head(model, classes, head_hidden)
    own = model.state_dict()
    filled = {key: weights.get(key, own[key]) for key in own}
    # Versions of modules travel in this attribute and do not survive safetensors; the keys are those of
    # today.
    loadable = type(own)(filled)
    loadable._metadata = own._metadata  # type: ignore[attr-defined]  # untyped in torch
    model.load_state_dict(loadable, strict=True, assign=True)
    return model.eval().requires_grad_(False)


def names() -> tuple[str, ...]:
    """Every architecture that there is."""
    return ("cnnnet", *models.list_models(module=models))


class _Unfilled(TorchFunctionMode):
    """Makes `torch.empty`, out of which layers make their parameters, take no memory and no time to fill.

    A whole model on the meta device would be simpler; regnet computes with a small tensor while it is built. Random
    numbers for what has no memory are left out: torch would import its compiler to do nothing with them (1.2 s).
    """

    _RANDOM = frozenset(
        {
            torch.Tensor.normal_,
            torch.Tensor.uniform_,
            nn.init.normal_,
            nn.init.uniform_,
            nn.init.trunc_normal_,
        }
    )

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: object,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:  # noqa: ANN401 (torch's own signature)
        kwargs = kwargs or {}
        if func is torch.empty:
            kwargs = {**kwargs, "device": "meta"}
        elif func in self._RANDOM and (tensor := args[0] if args else kwargs["tensor"]).is_meta:
            return tensor
        return func(*args, **kwargs)


def _fresh(architecture: str, shapes: Mapping[str, Shape], image_size: int) -> nn.Module:
    """A model of that name with the head that torchvision gives it."""
    if architecture == "cnnnet":
        return CNNNet()
    if architecture not in names():
        raise InvalidSpec(
            f"spec.model.architecture: there is no {architecture!r}; use cnnnet or a classification model of "
            "torchvision, such as resnet50"
        )
    options: dict[str, object] = {}
    if prefix := AUXILIARY.get(architecture):
        options = {"init_weights": False, "aux_logits": any(key.startswith(prefix) for key in shapes)}
    if architecture.startswith("vit_"):  # its position embedding has as many rows as the image has patches
        options = {"image_size": image_size}
    try:
        model: nn.Module = models.get_model(architecture, weights=None, **options)
    except AssertionError as error:
        raise InvalidSpec(
            f"spec.model.imageSize: {architecture} takes no images of {image_size} pixels"
        ) from error
    return model


def _fitted(model: nn.Module, shapes: Mapping[str, Shape]) -> nn.Module:
    """The model with the head that differs least from the weights."""
    fewest = len(_shape_differences(model, shapes))
    for place, head in heads.candidates(model, shapes):
        former = model.get_submodule(place)
        model.set_submodule(place, head)
        differing = len(_shape_differences(model, shapes))
        if differing >= fewest:
            model.set_submodule(place, former)
            continue
        fewest = differing
        if not fewest:
            break
    return model


def _shape_differences(model: nn.Module, shapes: Mapping[str, Shape]) -> list[Difference]:
    """Where names and shapes differ, in the order of the model, then of the weights."""
    own = {key: tuple(tensor.shape) for key, tensor in model.state_dict().items()}
    return [
        Difference(key=key, expected=own.get(key), found=shapes.get(key))
        for key in (*own, *(key for key in shapes if key not in own))
        # Weights from before PyTorch 0.4.1 lack this counter of training steps, which inference never reads.
        if own.get(key) != shapes.get(key)
        and not (key not in shapes and key.endswith(".num_batches_tracked"))
    ]


def _differences(model: nn.Module, weights: Mapping[str, torch.Tensor]) -> list[str]:
    """The same, and where a whole number stands for a floating one."""
    shapes = {key: tuple(tensor.shape) for key, tensor in weights.items()}
    named = [str(difference) for difference in _shape_differences(model, shapes)]
    return named or [
        f"{key}: expected {str(own.dtype)[6:]}, found {str(weights[key].dtype)[6:]}"
        for key, own in model.state_dict().items()
        if key in weights and own.is_floating_point() != weights[key].is_floating_point()
    ]


def _sentence(architecture: str, differences: list[str]) -> str:
    more = len(differences) - LISTED
    table = "; ".join(differences[:LISTED]) + (f"; and {more} more" if more > 0 else "")
    return (
        f"spec.model.architecture: these are not the weights of a {architecture}: "
        f"{len(differences)} of the keys differ: {table}"
    )


def _check_head(model: nn.Module, classes: tuple[str, ...] | None, head_hidden: int | None) -> None:
    count = heads.outputs(model)
    if classes is not None and count != len(classes):
        raise ArchitectureMismatch(
            f"spec.model.classes: names {len(classes)} classes, and the weights have {count} outputs"
        )
    width = heads.hidden(model)
    if head_hidden is not None and width != head_hidden:
        found = f"{width} wide" if width else "not there"
        raise ArchitectureMismatch(
            f"spec.model.head.hidden: is {head_hidden}, and the hidden layer of the weights is {found}"
        )


def _text(shape: Shape | None) -> str:
    return "nothing" if shape is None else f"[{', '.join(map(str, shape))}]"
