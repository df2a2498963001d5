"""A server of an ONNX model where there is no torch, as in the image without it."""

import json
import signal

import pytest

from catfish_server import errors
from tests.model_server.whole_models import SIZE

pytestmark = pytest.mark.process

# Python imports a module named sitecustomize at its start, before anything of the program.
FORBIDS_TORCH = """
import importlib.abc, importlib.util, sys

class Missing(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {"torch", "torchvision"}:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

find = importlib.util.find_spec
importlib.util.find_spec = lambda name, package=None: None if name == "torch" else find(name, package)
sys.meta_path.insert(0, Missing())
"""


@pytest.fixture
def without_torch(program, tmp_path, monkeypatch):
    """Starts the program as if torch were not installed."""
    (tmp_path / "sitecustomize.py").write_text(FORBIDS_TORCH)
    monkeypatch.syspath_prepend(tmp_path)
    return program


def test_an_onnx_model_is_served_without_torch(without_torch, files):
    running = without_torch(
        CATFISH_MODEL_LOCATION=files.path("onnx"), CATFISH_ARCHITECTURE="onnx", CATFISH_IMAGE_SIZE=SIZE
    )
    running.until("/readyz", 200)
    status, body = running.post("/predict", picture())
    assert status == 200
    assert json.loads(body)["prediction"] in {"cat", "fish"}
    running.process.send_signal(signal.SIGTERM)
    code, output, _ = running.end()
    assert (code, "Traceback" in output) == (0, False)


def test_what_only_torch_can_run_is_refused_in_a_sentence(without_torch, files):
    code, output, told = without_torch(CATFISH_MODEL_LOCATION=files.path("onnx")).end()
    assert code == errors.InvalidSpec.exit_code
    assert told["message"].startswith("spec.model.architecture: is resnet18, and this image has no PyTorch")
    assert "Traceback" not in output


def picture():
    import io

    from PIL import Image

    buffer = io.BytesIO()
    Image.new("RGB", (40, 30), (200, 30, 90)).save(buffer, "PNG")
    return buffer.getvalue()
