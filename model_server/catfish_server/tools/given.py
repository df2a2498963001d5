"""What the flags name: a model's file, and pictures as the model takes them."""

import argparse
from pathlib import Path

from catfish_server.tools import samples
from catfish_server.tools.opened import Opened, Source
from catfish_server.tools.report import Report
from catfish_server.tools.samples import Preparation, Samples


def pictures(
    directory: Path,
    opened: Opened | Preparation,
    *,
    limit: int,
    report: Report,
    use: str = "reading the pictures",
) -> Samples:
    """The pictures in a directory, as a model takes them.

    Args:
        directory: of the pictures.
        opened: the model, or what is done to pictures for it.
        limit: the most to read.
        report: told how many are read.
        use: what they are read for, as `report` says it.

    Raises:
        ToolFailure: there are none, or one is no picture that the server would take.
    """
    return samples.read(
        directory,
        image_size=opened.image_size,
        mean=opened.mean,
        std=opened.std,
        limit=limit,
        progress=lambda done, total: report.progress(use, done, total),
    )


def source(path: Path, arguments: argparse.Namespace) -> Source:
    """A file as the flags of `arguments.add_model` describe it."""
    return Source(
        path=path,
        architecture=arguments.architecture,
        classes=arguments.classes,
        image_size=arguments.image_size,
        mean=arguments.mean,
        std=arguments.std,
        trusted=arguments.trust,
    )
