"""What was chosen before, on disk: by weights, processor and versions, so that a start after the first builds nothing.

An entry is a directory with `choice.json`, the engine's file, and eager's answers to the probes, against which the
loaded engine is verified each time. An entry that is damaged is none.
"""

import hashlib
import json
import logging
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import numpy as np

from catfish_server import cpus
from catfish_server.inference.engines.candidates import BY_NAME
from catfish_server.models.model import Logits
from catfish_server.variables import EAGER

logger = logging.getLogger(__name__)

KEPT = 2
"""Entries: each is as large as the weights, and a volume that outlives pods must not fill up."""

MODEL = "model"
EXPECTED = "expected.npz"
CHOICE = "choice.json"

_FORMAT = 1
_PACKAGES = ("torch", "torchvision", "onnxruntime")


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A choice.

    Attributes:
        engine: its name.
        model: the file that the engine loads; None for eager, which has none.
        expected: eager's logits for each batch of `probes.batches`; empty for eager.
    """

    engine: str
    model: Path | None
    expected: tuple[Logits, ...]


def key(**facts: object) -> str:
    """The name of the entry for a model on this processor with these versions.

    Args:
        facts: digest of the weights, architecture, sizes, device, setting; whatever JSON holds.
    """
    place = [cpus.model(), cpus.instruction_set(), *map(_version, _PACKAGES)]
    text = json.dumps([_FORMAT, place, facts], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


class Shelf:
    """The entries in one directory; one process writes at a time.

    Args:
        directory: that only this user can write to; made where it is missing.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        directory.mkdir(mode=0o700, exist_ok=True)

    def find(self, name: str) -> Entry | None:
        """The entry of that name; None where there is none that is whole."""
        try:
            return _read(self.directory / name)
        except FileNotFoundError:
            return None
        except Exception as error:  # noqa: BLE001 (whatever is wrong with it, it can be made again)
            logger.info("The engine that was kept cannot be used and is chosen anew: %s.", error)
            self.forget(name)
            return None

    def keep(self, name: str, *, engine: str, work: Path | None = None) -> None:
        """Notes a choice; the engine's file and eager's answers are moved out of the directory `work`."""
        made = self.directory / f"{name}.new"
        shutil.rmtree(made, ignore_errors=True)
        made.mkdir(mode=0o700)
        choice = {"engine": engine}
        if work is not None:
            (work / engine).replace(made / MODEL)
            (work / EXPECTED).replace(made / EXPECTED)
            choice["sha256"] = _digest(made / MODEL)
        (made / CHOICE).write_text(json.dumps(choice))
        self.forget(name)
        made.replace(self.directory / name)
        self._prune(keep=name)

    def forget(self, name: str) -> None:
        """Removes an entry."""
        shutil.rmtree(self.directory / name, ignore_errors=True)

    def _prune(self, *, keep: str) -> None:
        entries = [found.parent for found in self.directory.glob(f"*/{CHOICE}") if found.parent.name != keep]
        entries.sort(key=lambda entry: entry.stat().st_mtime, reverse=True)
        for entry in entries[KEPT - 1 :]:
            self.forget(entry.name)


def write_answers(path: Path, logits: Iterable[Logits]) -> None:
    """Keeps the logits of some batches."""
    with path.open("wb") as file:
        np.savez(file, *logits)


def answers(path: Path) -> tuple[Logits, ...]:
    """The logits that were kept, in their order."""
    with np.load(path, allow_pickle=False) as kept:
        return tuple(kept[f"arr_{number}"] for number in range(len(kept.files)))


def _read(folder: Path) -> Entry:
    choice = json.loads((folder / CHOICE).read_bytes())
    engine = choice["engine"]
    if engine == EAGER:
        return Entry(engine=EAGER, model=None, expected=())
    if engine not in BY_NAME or choice["sha256"] != _digest(folder / MODEL):
        raise ValueError("it is another engine's, or damaged")
    return Entry(engine=engine, model=folder / MODEL, expected=answers(folder / EXPECTED))


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return ""
