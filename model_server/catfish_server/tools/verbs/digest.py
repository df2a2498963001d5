"""`catfish digest FILE`: what `spec.weights.sha256` of a `CatfishModel` has to be."""

import argparse
from pathlib import Path

from catfish_server.tools import opened
from catfish_server.tools.errors import DONE
from catfish_server.tools.report import Report

HELP = "print the SHA-256 of a model's file, for spec.weights.sha256"


def add(parser: argparse.ArgumentParser) -> None:
    """Adds the file."""
    parser.add_argument("file", metavar="FILE", type=Path)


def run(arguments: argparse.Namespace, report: Report) -> int:
    """Hashes the file."""
    path: Path = arguments.file
    kind = opened.identify(path)
    report.result({"sha256": opened.sha256(path), "format": kind.value, "bytes": path.stat().st_size})
    return DONE
