"""torchvision's models, without the compiler that importing torchvision imports.

`torchvision.ops.roi_align` takes one function from `torch._dynamo`, for detection models under `torch.compile`.
Nothing here compiles, and that import is 1.2 s of CPU time and 150 MB of memory in every pod (torch 2.13, torchvision
0.28). So it finds an empty stand-in while it is imported; whoever needs the real one later gets it.
"""

import sys
from types import ModuleType

__all__ = ["models"]

_COMPILER = "torch._dynamo"


def _never(_device: str) -> bool:
    """Stands in for `torch._dynamo.utils.is_compile_supported`."""
    return False


def _import_lightly() -> None:
    if _COMPILER in sys.modules or "torchvision" in sys.modules:
        return
    package, utils = ModuleType(_COMPILER), ModuleType(f"{_COMPILER}.utils")
    package.__path__ = []
    utils.is_compile_supported = _never  # type: ignore[attr-defined]
    stand_ins = {_COMPILER: package, f"{_COMPILER}.utils": utils}
    sys.modules.update(stand_ins)
    try:
        import torchvision  # noqa: F401, PLC0415 - while the stand-ins are there
    except (ImportError, AttributeError):  # a torchvision that wants more of it: imported as usual below
        for name in [name for name in sys.modules if name.partition(".")[0] == "torchvision"]:
            del sys.modules[name]
    finally:
        for name in stand_ins:
            sys.modules.pop(name, None)


_import_lightly()

from torchvision import models  # noqa: E402 - after the stand-ins
