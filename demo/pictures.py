"""Real pictures of cats and fish from packages: Debian's tuxpaint-stamps-default and PyPI's scikit-image.

Standard library only. Each package is fetched once by its own client (apt-get, pip) and kept by version.
"""

import hashlib
import importlib.util
import json
import shutil
import subprocess
import sys
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

STAMPS = "tuxpaint-stamps-default"
SCIKIT_IMAGE = "0.25.2"
CLASSES = ("cat", "fish")
LICENCES = (
    f"{STAMPS} (Debian): cut-outs, GPL-2, © Bill Kendrick and the Tux Paint contributors",
    f"scikit-image {SCIKIT_IMAGE} (PyPI): the photograph of Chelsea the cat, CC0, by Stéfan van der Walt",
)
PHOTOGRAPH = "chelsea.png"


class PicturesUnavailable(Exception):
    """A package could not be fetched; the message says which and what its client answered."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """One picture: where it lies in its package, what it shows, and what it is used for."""

    path: str
    label: str
    use: str  # train | held-out | photograph

    @property
    def file(self) -> str:
        """Its name in the store."""
        return Path(self.path).name


def _stamp(path: str, label: str, use: str) -> Picture:
    return Picture(path=f"usr/share/tuxpaint/stamps/animals/{path}.png", label=label, use=use)


# Lions and tigers stand in for cats: the package has no photo of a house cat. What is held out (a tiger,
# two fish, the photo of a house cat) is never shown in training.
PICTURES = (
    _stamp("mammals/cats/lion", "cat", "train"),
    _stamp("mammals/cats/lion-2", "cat", "train"),
    _stamp("mammals/cats/tiger", "cat", "train"),
    _stamp("mammals/cats/tiger_sumatran", "cat", "held-out"),
    _stamp("fish/bluegroper", "fish", "train"),
    _stamp("fish/butterflyfish", "fish", "train"),
    _stamp("fish/coraltrout", "fish", "train"),
    _stamp("fish/dolphinfish", "fish", "train"),
    _stamp("fish/lionfish", "fish", "train"),
    _stamp("fish/moonwrasse", "fish", "train"),
    _stamp("fish/clownfish", "fish", "held-out"),
    _stamp("fish/stripedfish", "fish", "held-out"),
    _stamp("fish/seahorse", "fish", "train"),
    Picture(path=f"skimage/data/{PHOTOGRAPH}", label="cat", use="photograph"),
)


def collect(cache: Path) -> Path:
    """The folder with all pictures and their `index.json`, fetched where the cache lacks it."""
    chosen = hashlib.sha256(json.dumps(index()).encode()).hexdigest()[:8]
    folder = cache / f"pictures-{_version_of_stamps()}-{SCIKIT_IMAGE}-{chosen}"
    if (folder / "index.json").exists():
        return folder
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache) as scratch:
        half = Path(scratch) / "pictures"
        half.mkdir()
        _unpack_stamps(Path(scratch), half)
        _unpack_photograph(Path(scratch), half)
        (half / "index.json").write_text(json.dumps(index(), indent=2))
        shutil.rmtree(folder, ignore_errors=True)
        half.rename(folder)
    return folder


def index() -> dict[str, object]:
    """What train.py reads: the classes in the order of the outputs, and each picture's class and use."""
    entries = [{"file": picture.file, "class": picture.label, "use": picture.use} for picture in PICTURES]
    return {"classes": list(CLASSES), "pictures": entries}


def _version_of_stamps() -> str:
    shown = _run(["apt-cache", "policy", STAMPS], Path("/"))
    for line in shown.splitlines():
        key, _, value = line.strip().partition(": ")
        if key == "Candidate" and value != "(none)":
            return value.strip()
    raise PicturesUnavailable(
        f"apt-cache knows no package {STAMPS}; run `apt-get update`, and have Debian's main in its sources."
    )


def _unpack_stamps(scratch: Path, target: Path) -> None:
    _run(["apt-get", "download", STAMPS], scratch)
    (package,) = scratch.glob(f"{STAMPS}_*.deb")
    _run(["dpkg-deb", "--extract", str(package), str(scratch / "stamps")], scratch)
    for picture in PICTURES:
        source = scratch / "stamps" / picture.path
        if picture.use != "photograph":
            shutil.copyfile(source, target / picture.file)
    shutil.copyfile(scratch / "stamps/usr/share/doc" / STAMPS / "copyright", target / "copyright")


def _unpack_photograph(scratch: Path, target: Path) -> None:
    pip = [_python_with_pip(scratch), "-m", "pip", "--disable-pip-version-check", "download", "--quiet"]
    _run(
        [*pip, "--no-deps", "--only-binary=:all:", "--dest", str(scratch), f"scikit-image=={SCIKIT_IMAGE}"],
        scratch,
    )
    (wheel,) = scratch.glob("scikit_image-*.whl")
    with zipfile.ZipFile(wheel) as opened:
        for picture in PICTURES:
            if picture.use == "photograph":
                (target / picture.file).write_bytes(opened.read(picture.path))


def _python_with_pip(scratch: Path) -> str:
    """Debian's python3 may come without pip, but a virtual environment of it brings one."""
    if importlib.util.find_spec("pip") is not None:
        return sys.executable
    _run([sys.executable, "-m", "venv", str(scratch / "venv")], scratch)
    return str(scratch / "venv/bin/python")


def _run(command: list[str], folder: Path) -> str:
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=600)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise PicturesUnavailable(f"`{' '.join(command)}`: {error}") from error
    if done.returncode != 0:
        last = (done.stderr.strip() or done.stdout.strip() or "no output").splitlines()[-1]
        raise PicturesUnavailable(f"`{' '.join(command)}` ended with {done.returncode}: {last}")
    return done.stdout
