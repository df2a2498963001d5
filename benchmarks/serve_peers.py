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
from typing import NamedTuple

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


class Weights(NamedTuple):
    """What a peer serves.

    Attributes:
        architecture: of torchvision.
        file: of the weights.
        size: of images in pixels.
        engine: `eager`, or one that `prepare` has built.
    """

    architecture: str
    file: Path
    size: int
    engine: str = "eager"


def prepare(architecture: str, file: Path, *, engine: str, size: int) -> None:
    """Builds one of Catfish's engines beside the weights, for a peer that is to run the same."""
    import numpy as np  # noqa: PLC0415 (as above)

    from catfish_server.inference.engines import candidates  # noqa: PLC0415 (as above)

    module = Eager(architecture, str(file), size).module
    example = np.zeros((1, 3, size, size), np.float32)
    candidates.BY_NAME[engine].export(module, file.with_suffix(f".{engine}"), example=example)


def command(kind: str, model: Weights, *, port: int, batch: int, processes: int) -> list[str]:
    """The command line of a peer; mosec has so many processes, and batches of this size at most."""
    words = [model.architecture, str(model.file), str(model.size), str(port)]
    if kind.startswith("mosec"):
        more = [str(batch), str(processes), model.engine]
        return [str(environment()), "-m", "benchmarks.serve_mosec", *words, *more]
    return [sys.executable, "-m", "benchmarks.serve_peers", *words]


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


class Prepared(Eager):
    """The transforms as above, and an engine of Catfish's in place of the module."""

    def __init__(self, architecture: str, file: str, size: int, engine: str) -> None:
        super().__init__(architecture, file, size)
        from catfish_server.inference.engines import candidates  # noqa: PLC0415 (as above)

        del self.module
        path = Path(file).with_suffix(f".{engine}")
        self.run = candidates.BY_NAME[engine].load(path, self.torch.device("cpu"))

    def classes(self, tensors: list[object]) -> list[int]:
        """The class of each tensor."""
        found: list[int] = self.run(self.torch.stack(tensors).numpy()).argmax(axis=1).tolist()
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


def answer(port: int, image: bytes, path: str) -> bytes:
    """What a server answers.

    Raises:
        OSError: it does not, or with an error.
    """
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", image, {"Content-Type": "image/jpeg"})
    with urllib.request.urlopen(request, timeout=60) as response:  # noqa: S310 (loopback)
        return bytes(response.read())


def ready(port: int, image: bytes, path: str) -> bool:
    """Whether a server answers."""
    try:
        return bool(answer(port, image, path))
    except OSError:
        return False


if __name__ == "__main__":
    name, at, pixels, number = sys.argv[1:]
    flask(name, at, int(pixels), int(number))
