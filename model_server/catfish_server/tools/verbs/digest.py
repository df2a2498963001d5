"""`catfish digest FILE`: what `spec.weights.sha256` of a `CatfishModel` has to be."""

import argparse
from pathlib import Path

from catfish_server.tools import files
from catfish_server.tools.errors import DONE
from catfish_server.tools.report import Report


def run(arguments: argparse.Namespace, report: Report) -> int:
    """Hashes the file."""
    path: Path = arguments.file
    kind = files.identify(path)
    report.result({"sha256": files.sha256(path), "format": kind.value, "bytes": path.stat().st_size})
    return DONE
