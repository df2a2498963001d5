"""TorchScript by tracing, by scripting, and by both; deprecated and works, with what it warns of in here."""

import copy
import io
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, cast

import torch
from torch import nn
from torch.jit._trace import TracerWarning  # torch.jit has it too, and does not say so

from catfish_server.models.cnnnet import CNNNet
from catfish_server.models.pixels import Preprocess
from catfish_server.models.vision import models
from catfish_server.tools import written
from catfish_server.tools.errors import ToolFailure, cause
from catfish_server.tools.exporting import preprocess as inside

SCRIPT_ADVICE = "; use trace, program or onnx instead"

BOOK = (CNNNet, models.AlexNet, models.VGG)
"""Networks that are `features`, `avgpool` and `classifier`, and flatten what comes out of the second."""


def export(
    kind: str,
    module: nn.Module,
    path: Path,
    *,
    size: int,
    texts: Mapping[str, str],
    note: Callable[[str], None],
    preprocess: Preprocess | None = None,
) -> None:
    """Writes a module.

    Args:
        kind: one of `MAKERS`.
        module: in eval mode; it stays as it is.
        path: of the file to write.
        size: height and width of its images in pixels.
        texts: to write into the file, by name.
        note: told what the user should know.
        preprocess: to put inside, scripted whatever the kind is: it takes images of any size.

    Raises:
        ToolFailure: the module cannot be written so.
    """
    with warnings.catch_warnings(record=True) as caught, torch.no_grad():
        warnings.simplefilter("ignore")
        warnings.filterwarnings("always", category=TracerWarning)
        made = MAKERS[kind](module, torch.zeros(2, 3, size, size))
        if preprocess is not None:
            made = script(inside.whole(made, preprocess), torch.empty(0))
        whole = io.BytesIO()
        torch.jit.save(made, whole, _extra_files=dict(texts))
    written.save(path, [whole.getbuffer()])
    if warned := [warning for warning in caught if issubclass(warning.category, TracerWarning)]:
        note(
            f"{len(warned)} decisions of the model depend on its input; the trace keeps those that were made for "
            f"images of {size} pixels that are all zero: where the size decides, use it for no other, and where the "
            "pixels do, export with script, which keeps the branches"
        )


def trace(module: nn.Module, example: torch.Tensor) -> nn.Module:
    """What the module does to an example; a branch that the example does not take is not in it.

    Raises:
        ToolFailure: it is in training mode, or cannot be traced.
    """
    if any(part.training for part in module.modules()):
        raise ToolFailure(
            "the model is in training mode, where Dropout answers differently each time; call model.eval() first"
        )
    try:
        return cast("nn.Module", torch.jit.trace(module, example, check_trace=False))  # type: ignore[no-untyped-call]
    except RuntimeError as error:
        raise ToolFailure(f"the model cannot be traced: {cause(error)}") from error


def script(module: nn.Module, _example: torch.Tensor) -> nn.Module:
    """The module compiled from its source, with all its branches.

    Raises:
        ToolFailure: it uses what TorchScript does not know.
    """
    try:
        return cast("nn.Module", torch.jit.script(module))
    except (RuntimeError, OSError, TypeError, NotImplementedError) as error:
        raise ToolFailure(f"the model cannot be scripted: {cause(error)}{SCRIPT_ADVICE}") from error


def hybrid(module: nn.Module, example: torch.Tensor) -> nn.Module:
    """The module scripted, with each of its parts traced on what comes into it.

    Raises:
        ToolFailure: it uses what TorchScript does not know.
    """
    if isinstance(module, BOOK):
        return script(_Parts(module, example), example)
    mixed = copy.deepcopy(module)
    inputs: dict[str, list[tuple[Any, ...]]] = {}
    hooks = [
        part.register_forward_pre_hook(lambda _, given, name=name: inputs.setdefault(name, []).append(given))
        for name, part in mixed.named_children()
    ]
    mixed(example)
    for hook in hooks:
        hook.remove()
    for name, calls in inputs.items():
        # What is called more than once may be called with different things; it is scripted with the rest.
        if len(calls) == 1 and len(calls[0]) == 1 and isinstance(calls[0][0], torch.Tensor):
            setattr(mixed, name, trace(mixed.get_submodule(name), calls[0][0]))
    return script(mixed, example)


class _Parts(nn.Module):
    """The book's mix of a network of `BOOK`: `classifier` takes what comes out of `avgpool`, as [n, 256, 6, 6].

    The names of its parts, and so the keys of its weights, are those of the network.
    """

    def __init__(self, module: nn.Module, example: torch.Tensor) -> None:
        super().__init__()
        features = module.get_submodule("features")
        self.features = trace(features, example)
        self.avgpool = module.get_submodule("avgpool")
        self.classifier = trace(
            _Flattening(module.get_submodule("classifier")), self.avgpool(features(example))
        )

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Logits (n, classes) of images (n, 3, height, width)."""
        logits: torch.Tensor = self.classifier(self.avgpool(self.features(images)))
        return logits


class _Flattening(nn.Sequential):
    """A classifier that flattens what it is given; its layers keep their numbers, which nn.Flatten would shift."""

    def __init__(self, classifier: nn.Module) -> None:
        layers = classifier.children() if isinstance(classifier, nn.Sequential) else (classifier,)
        super().__init__(*layers)
        self.eval()

    def forward(self, pooled: torch.Tensor) -> torch.Tensor:
        """Logits (n, classes) of features (n, …)."""
        logits: torch.Tensor = super().forward(torch.flatten(pooled, 1))  # type: ignore[no-untyped-call]
        return logits


MAKERS: Mapping[str, Callable[[nn.Module, torch.Tensor], nn.Module]] = {
    "trace": trace,
    "script": script,
    "hybrid": hybrid,
}
