"""The faulty server image, built on the demo's catfish-server:v1 where something of it has changed."""

import hashlib
from collections.abc import Callable
from pathlib import Path

from localcluster import engine
from localcluster.commands import run

NAME = "catfish-faulty:v2"
BASE = "catfish-server:v1"
FOLDER = Path(__file__).with_name("image")
LABEL = "dev.catfish.faulty"
BASE_LABEL = "dev.catfish.inputs"
"""Names what a server image was made from; localcluster/images.py writes it."""


def build(report: Callable[[str], None] = print) -> str:
    """Returns the image's name; builds a thin layer on the server image unless that is there already."""
    builder = engine.choose()
    inputs = _inputs((builder.labels(BASE) or {}).get(BASE_LABEL, ""))
    if (builder.labels(NAME) or {}).get(LABEL) == inputs:
        return NAME
    order = engine.Order(
        name=NAME,
        context=FOLDER,
        dockerfile=FOLDER / "Dockerfile",
        arguments={"SERVER_IMAGE": BASE},
        labels={LABEL: inputs},
    )
    argv, environment = builder.command(order)
    run(*argv, env=environment, timeout=600)
    report(f"built {NAME}")
    return NAME


def _inputs(base: str) -> str:
    hashed = hashlib.sha256(f"{base}\0".encode())
    for file in sorted(FOLDER.iterdir()):
        if file.is_file():
            hashed.update(f"{file.name}\0".encode() + file.read_bytes() + b"\0")
    return hashed.hexdigest()[:20]
