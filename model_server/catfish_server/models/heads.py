"""The head of a classifier, read off the names and shapes of the weights that go into it.

People replace the last layer of a network in a few ways, and a `state_dict` tells which: a linear layer of
another width, one after a Dropout, or the book's Linear, ReLU, Dropout, Linear - in the place of the last
layer or of the whole block that it stands in. What has no parameters leaves no trace in the weights: between
two linear layers a ReLU is assumed, as in the book.
"""

import re
from collections.abc import Iterator, Mapping

import torch
from torch import nn

Shapes = Mapping[str, tuple[int, ...]]

WITHOUT_SHAPE = (nn.Dropout, nn.ReLU, nn.Hardswish, nn.Identity)
"""Layers that keep the number of features: a block of these and linear ones can be replaced as a whole."""

TOP = frozenset({"fc", "classifier", "head", "heads"})
"""What the networks of torchvision call the part that makes the logits."""


def candidates(model: nn.Module, shapes: Shapes) -> list[tuple[str, nn.Module]]:
    """The heads that the weights may mean, best guess first, each with its place in the model.

    Args:
        model: with the head that its architecture has, which takes features of known width.
        shapes: of the weights by name.
    """
    path, layer = last_layer(model)
    found: list[tuple[str, nn.Module]] = []
    # A torch.Size of () or with a 0 in it is no layer; the comparison of all shapes will name it.
    shapes = {key: shape for key, shape in shapes.items() if shape and all(shape)}
    if f"{path}.weight" in shapes:
        found.append((path, _plain(layer, shapes, path)))
    for place in _places(model, path):
        replacement = _replacement(_width(model.get_submodule(place)), shapes, place)
        if replacement is not None:
            found.append((place, replacement))
    return found


def last_layer(model: nn.Module) -> tuple[str, nn.Module]:
    """The layer that makes the logits, and its place: the last linear one, else the last convolution."""
    linear = [(name, module) for name, module in model.named_modules() if isinstance(module, nn.Linear)]
    convolutions = [(name, module) for name, module in model.named_modules() if isinstance(module, nn.Conv2d)]
    return (linear or convolutions)[-1]


def outputs(model: nn.Module) -> int:
    """The number of logits."""
    layer = last_layer(model)[1]
    weight: torch.Tensor = layer.weight  # type: ignore[assignment]  # a Linear or a Conv2d
    return weight.shape[0]


def guessed_outputs(shapes: Shapes) -> frozenset[int]:
    """How many logits weights may make of which nobody knows the architecture; empty where no layer makes any.

    One number where a layer has a name that torchvision gives to heads, else the outputs of all linear layers.

    Args:
        shapes: of the weights by name.
    """
    layers = {
        key: shape[0]
        for key, shape in shapes.items()
        if key.endswith(".weight") and (len(shape) == 2 or (len(shape) == 4 and shape[2:] == (1, 1)))
    }
    heads = [key for key in layers if key.partition(".")[0] in TOP]
    if heads:
        return frozenset({layers[max(heads, key=_numbered)]})
    return frozenset(count for key, count in layers.items() if len(shapes[key]) == 2)


def _numbered(key: str) -> list[tuple[int, str]]:
    """Sorts layer 10 after layer 9."""
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in key.split(".")]


def hidden(model: nn.Module) -> int | None:
    """The width of the layer before the logits, None when they come straight from the features."""
    path, layer = last_layer(model)
    block = model.get_submodule(path.rpartition(".")[0])
    others = [module for module in block.children() if isinstance(module, nn.Linear) and module is not layer]
    return others[-1].out_features if others and isinstance(block, nn.Sequential) else None


def _plain(layer: nn.Module, shapes: Shapes, path: str) -> nn.Module:
    """The same kind of layer with as many outputs, and with a bias or without, as the weights have."""
    weight = shapes[f"{path}.weight"]
    bias = f"{path}.bias" in shapes
    if isinstance(layer, nn.Conv2d):
        return nn.Conv2d(layer.in_channels, weight[0], kernel_size=1, bias=bias)
    assert isinstance(layer, nn.Linear)  # noqa: S101 (last_layer returns one of the two)
    return nn.Linear(layer.in_features, weight[0], bias=bias)


def _places(model: nn.Module, path: str) -> Iterator[str]:
    """The last layer, then the blocks around it that consist of nothing but linear layers and activations."""
    while path:
        parts = [part for part in model.get_submodule(path).modules() if not list(part.children())]
        if not all(isinstance(part, (nn.Linear, *WITHOUT_SHAPE)) for part in parts):
            return
        yield path
        path = path.rpartition(".")[0]


def _width(place: nn.Module) -> int:
    """Features that come into a place: what its first linear layer takes."""
    return next(module.in_features for module in place.modules() if isinstance(module, nn.Linear))


def _replacement(width: int, shapes: Shapes, place: str) -> nn.Module | None:
    """The layers whose weights are named below the place, None when they are none that are known."""
    found = {
        int(match[1]): shape
        for key, shape in shapes.items()
        if (match := re.fullmatch(re.escape(place) + r"\.([0-9]{1,2})\.weight", key))
    }
    if not found or any(len(shape) != 2 for shape in found.values()):
        # The whole block may have been replaced by one linear layer, whose weight has the block's own name.
        weight = shapes.get(f"{place}.weight", ())
        return nn.Linear(width, weight[0], bias=f"{place}.bias" in shapes) if len(weight) == 2 else None
    layers: list[nn.Module] = []
    for index, shape in sorted(found.items()):
        while len(layers) < index:
            # Directly after a linear layer comes its activation; any other gap is a Dropout, which does
            # nothing here.
            layers.append(nn.ReLU() if layers and isinstance(layers[-1], nn.Linear) else nn.Dropout())
        layers.append(nn.Linear(width, shape[0], bias=f"{place}.{index}.bias" in shapes))
        width = shape[0]
    return nn.Sequential(*layers)
