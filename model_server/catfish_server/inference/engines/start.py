"""Begins the search for a faster engine behind a classifier that is warm and verified."""

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import nn

from catfish_server.inference.classifier import Classifier
from catfish_server.inference.engines.background import Background, Source
from catfish_server.lifecycle import Lifecycle
from catfish_server.models.model import Loaded, Model
from catfish_server.settings import Settings
from catfish_server.weights import fetch


def begin(
    classifier: Classifier,
    loaded: Loaded,
    settings: Settings,
    *,
    lifecycle: Lifecycle,
    count: Callable[[str, str], None],
) -> Background | None:
    """A search that is waiting until the server is ready; None where the model is no module of torch's.

    Args:
        classifier: answers with eager torch.
        loaded: what it answers with.
        settings: the engine, the cache.
        lifecycle: has been told of the weights.
        count: told of each engine that is tried, and of what became of it.
    """
    module: object = getattr(loaded.model, "module", None)
    weights = lifecycle.snapshot().weights
    if not isinstance(module, nn.Module) or weights is None:
        return None

    def swap(model: Model, *, engine: str) -> None:
        classifier.replace(model, replace(classifier.runtime, engine=engine))

    source = Source(
        model=loaded.model,
        module=module,
        place=torch.device(loaded.device),
        sha256=weights.sha256,
        architecture=settings.architecture,
        classes=classifier.classes,
        image_size=settings.image_size,
    )
    search = Background(
        source,
        replace=swap,
        lifecycle=lifecycle,
        directory=fetch.private_directory(settings.cache_dir) / "engines",
        engine=settings.engine,
        delay_seconds=settings.engine_delay_seconds,
        count=count,
    )
    classifier.on_close(search.close)
    return search.start()
