"""The servers that `benchmarks.serve` compares: Catfish, mosec, and Flask on waitress as it is usually written.

All of them answer a POST of a JPEG with a class, all run the same weights. As a program it is the last of them:
`python -m benchmarks.serve_peers ARCHITECTURE WEIGHTS SIZE PORT`; `benchmarks.serve_mosec` is the second.
"""

import io
import os
import subprocess
import sys
import urllib.request
from pathlib import Path

MOSEC = "mosec==0.9.8"
CLASSES = 1000


def environment() -> Path:
    """Python of an environment that has mosec, and torch of this one's; made in the cache the first time."""
    cache = Path(os.environ.get("CATFISH_CACHE") or Path.home() / ".cache" / "catfish")
    home = cache / f"bench-{MOSEC.replace('==', '-')}-{Path(sys.prefix).name}"
    python = home / "bin" / "python"
    if not (home / ".installed").exists():
        subprocess.run([sys.executable, "-m", "venv", str(home)], check=True)
        subprocess.run([str(python), "-m", "pip", "install", "--quiet", MOSEC], check=True)
        (site,) = home.glob("lib/python*/site-packages")
        own = next(Path(path) for path in sys.path if path.endswith("site-packages"))
        (site / "torch.pth").write_text(f"{own}\n")
        (home / ".installed").touch()
    return python


def weights(architecture: str, directory: Path) -> Path:
    """A file with random weights, in the format that needs no child process to be read."""
    from safetensors.torch import save_model  # noqa: PLC0415 (each server imports what it needs)
    from torchvision import models  # noqa: PLC0415

    path = directory / f"{architecture}.safetensors"
    if not path.exists():
        save_model(models.get_model(architecture, weights=None, num_classes=CLASSES), str(path))
    return path


def command(kind: str, architecture: str, file: Path, *, size: int, port: int, batch: int) -> list[str]:
    """The command line of a peer; `batch` is the largest that mosec makes."""
    model = [architecture, str(file), str(size), str(port)]
    if kind == "mosec":
        return [str(environment()), "-m", "benchmarks.serve_mosec", *model, str(batch)]
    return [sys.executable, "-m", "benchmarks.serve_peers", *model]


class Eager:
    """The module and the transforms, as a tutorial of torchvision has them."""

    def __init__(self, architecture: str, file: str, size: int) -> None:
        import torch  # noqa: PLC0415
        from safetensors.torch import load_model  # noqa: PLC0415
        from torchvision import models, transforms  # noqa: PLC0415

        self.torch = torch
        self.module = models.get_model(architecture, weights=None, num_classes=CLASSES).eval()
        load_model(self.module, file)
        self.transform = transforms.Compose(
            [
                transforms.Resize(round(size * 256 / 224)),
                transforms.CenterCrop(size),
                transforms.ToTensor(),
                transforms.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]),
            ]
        )

    def decode(self, data: bytes) -> object:
        """The tensor of an image."""
        from PIL import Image  # noqa: PLC0415

        return self.transform(Image.open(io.BytesIO(data)).convert("RGB"))

    def classes(self, tensors: list[object]) -> list[int]:
        """The class of each tensor."""
        with self.torch.no_grad():
            found: list[int] = self.module(self.torch.stack(tensors)).argmax(dim=1).tolist()
        return found


def flask(architecture: str, file: str, size: int, port: int) -> None:
    """One module, the threads of torch and of waitress as they come."""
    from flask import Flask, jsonify, request  # noqa: PLC0415
    from waitress import serve  # noqa: PLC0415

    app, model = Flask("peer"), Eager(architecture, file, size)

    @app.post("/inference")
    def predict() -> object:
        return jsonify(prediction=model.classes([model.decode(request.get_data())])[0])

    serve(app, host="127.0.0.1", port=port)


def ready(port: int, image: bytes, path: str) -> bool:
    """Whether a server answers with a class."""
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", image, {"Content-Type": "image/jpeg"})
    try:
        with urllib.request.urlopen(request, timeout=60) as response:  # noqa: S310 (loopback)
            return bool(response.status == 200)
    except OSError:
        return False


if __name__ == "__main__":
    name, at, pixels, number = sys.argv[1:]
    flask(name, at, int(pixels), int(number))
