"""Archives of torch.export: programs of their author's, run by torch."""

import logging
from pathlib import Path

import torch

from catfish_server.errors import StartupFailure
from catfish_server.models.model import Loaded
from catfish_server.models.module import TorchModel
from catfish_server.models.pixels import PREPROCESS
from catfish_server.weights import exhausted, formats, statedict

# It writes tracebacks of what it tries first; the error that is raised in the end says enough.
logging.getLogger("torch.export").setLevel(logging.CRITICAL)


def load(path: Path) -> Loaded:
    """The archive's program.

    Raises:
        UnsupportedFormat: it cannot be loaded; the text completes "the file …".
        DamagedWeights: it is cut short or damaged.
        OutOfMemory: it asks for more than there is.
        NonFiniteWeights: there is NaN or infinity among its weights.
    """
    extra = {"classes": "", PREPROCESS: ""}
    try:
        with exhausted.told(), path.open("rb") as file:  # by its name it would have to end in .pt2
            program = torch.export.load(file, extra_files=extra)
            model = TorchModel(program.module())
    except (OSError, StartupFailure):
        raise
    except Exception as error:  # torch has no class for it, and what is wrong inside raises whatever it does
        raise formats.unloadable(path, formats.Format.EXPORTED) from error
    for key, value in program.state_dict.items():
        statedict.check_finite(key, value)
    return Loaded(
        model=model, reference=model, classes=extra["classes"] or None, preprocess=extra[PREPROCESS] or None
    )
