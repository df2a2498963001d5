"""The training script on a real (loopback) store, with two steps instead of hundreds."""

import hashlib
import json
import subprocess
import sys
import threading
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from demo import weights
from demo.report import DemoFailure

ROOT = Path(__file__).resolve().parents[2]


class Store(SimpleHTTPRequestHandler):
    def do_PUT(self):
        target = Path(self.translate_path(self.path))
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(self.rfile.read(int(self.headers["Content-Length"])))
        self.send_response(201)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *args):
        """Quiet."""


@pytest.fixture
def store(tmp_path):
    server = ThreadingHTTPServer(("127.0.0.1", 0), lambda *args: Store(*args, directory=str(tmp_path)))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield tmp_path, f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def scripts(monkeypatch):
    """The two scripts importable by their bare names, as they are where they run."""
    monkeypatch.syspath_prepend(str(ROOT / "demo"))
    import train

    yield train
    for name in ("train", "augment"):
        sys.modules.pop(name, None)


def draw(folder: Path) -> None:
    """A red cat and a blue fish, as cut-outs and as a photograph."""
    from PIL import Image, ImageDraw

    def cutout(file, colour):
        picture = Image.new("RGBA", (80, 60))
        ImageDraw.Draw(picture).ellipse((5, 5, 75, 55), fill=(*colour, 255))
        picture.save(folder / file)

    folder.mkdir()
    cutout("a.png", (200, 40, 40))
    cutout("b.png", (40, 40, 200))
    Image.new("RGB", (200, 150), (200, 40, 40)).save(folder / "c.png")
    entries = [
        {"file": "a.png", "class": "cat", "use": "train"},
        {"file": "b.png", "class": "fish", "use": "train"},
        {"file": "a.png", "class": "cat", "use": "held-out"},
        {"file": "c.png", "class": "cat", "use": "photograph"},
    ]
    (folder / "index.json").write_text(json.dumps({"classes": ["cat", "fish"], "pictures": entries}))


def test_both_versions_their_digests_and_the_report_reach_the_store_and_load_strictly(store, scripts):
    import torch
    from torchvision.models import resnet18

    folder, address = store
    draw(folder / "pictures")
    scripts.main(["--pictures", f"{address}/pictures", "--store", f"{address}/models", "--steps", "4"])
    report = json.loads((folder / "models/training.json").read_text())
    for version in ("v1", "v2"):
        stored = (folder / f"models/catfish-{version}.pt").read_bytes()
        digest = hashlib.sha256(stored).hexdigest()
        assert report[version]["sha256"] == digest
        assert (folder / f"models/catfish-{version}.pt.sha256").read_text().split()[0] == digest
        weights = torch.load(folder / f"models/catfish-{version}.pt", weights_only=True)
        resnet18(num_classes=2).load_state_dict(weights, strict=True)
        assert set(report[version]["right"]) == {"a.png"}
        assert 0 <= report[version]["photographs"]["c.png"] <= 1
    assert report["v1"]["sha256"] != report["v2"]["sha256"]
    assert report["v1"]["steps"] < report["v2"]["steps"]


@pytest.mark.parametrize(("v1", "v2", "named"), [(0.6, 0.9, None), (0.34, 0.9, "v1"), (0.6, 0.5, "v2")])
def test_weights_that_do_not_know_the_photograph_are_refused(v1, v2, named):
    judged = {
        version: {"steps": 17, "photographs": {"c.png": share}}
        for version, share in {"v1": v1, "v2": v2}.items()
    }
    if named is None:
        weights._refuse_mistaken(judged)
        return
    with pytest.raises(DemoFailure, match=f"After 17 steps {named} gives c.png"):
        weights._refuse_mistaken(judged)


def test_the_same_seed_makes_the_same_pictures(store, scripts):
    folder, address = store
    draw(folder / "pictures")
    pictures = scripts.fetch(f"{address}/pictures")
    first, again, other = (next(scripts.batches(pictures, seed))[0] for seed in (1, 1, 2))
    assert first.equal(again)
    assert not first.equal(other)


def test_the_job_finds_its_own_modules_in_an_image_that_imports_nothing_from_beside_a_script(tmp_path):
    [container] = weights._job()["spec"]["template"]["spec"]["containers"]
    for name, text in weights._scripts()["data"].items():
        (tmp_path / name).write_text(text)
    environ = {each["name"]: each["value"].replace("/demo", str(tmp_path)) for each in container["env"]}
    environ["PYTHONPATH"] += f":{ROOT / 'model_server'}"
    command = [sys.executable, str(tmp_path / "train.py"), "--help"]
    done = subprocess.run(
        command, env=environ | {"PYTHONSAFEPATH": "1"}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
