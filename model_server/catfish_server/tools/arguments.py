"""The flags that several verbs share: what a `CatfishModel` would say of a file."""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

from catfish_server import readers
from catfish_server.tools.opened import Source


def add_model(parser: argparse.ArgumentParser) -> None:
    """Adds what says how a model's file is to be understood."""
    group = parser.add_argument_group("the model", "what a CatfishModel would say of it")
    group.add_argument(
        "--architecture",
        metavar="NAME",
        type=read(readers.name),
        help="of torchvision, or cnnnet; default: as the file says, else resnet50",
    )
    group.add_argument(
        "--classes",
        metavar="A,B",
        type=read(readers.classes),
        help="in the order of the outputs; default: as the file names them",
    )
    add_images(group)


def add_images(parser: "argparse.ArgumentParser | argparse._ArgumentGroup") -> None:
    """Adds what says which images a model takes, and whether it may run here."""
    parser.add_argument(
        "--image-size",
        metavar="PIXELS",
        type=read(readers.integer(8, 2048)),
        help="height and width; default: as the file says, else 224",
    )
    for name, meaning, bounds, above in (
        ("mean", "subtracted from", (-10, 10), False),
        ("std", "divided out of", (0, 10), True),
    ):
        parser.add_argument(
            f"--{name}",
            metavar="R,G,B",
            type=read(readers.triple(*bounds, above=above)),
            help=f"{meaning} pixels of 0..1; default: as the file says, else ImageNet's",
        )
    parser.add_argument(
        "--trust",
        action="store_true",
        help="run a file that is code (TorchScript, torch.export): you know whose it is",
    )


def source(path: Path, arguments: argparse.Namespace) -> Source:
    """A file as the flags of `add_model` describe it."""
    return Source(
        path=path,
        architecture=arguments.architecture,
        classes=arguments.classes,
        image_size=arguments.image_size,
        mean=arguments.mean,
        std=arguments.std,
        trusted=arguments.trust,
    )


def read(reader: Callable[[str], Any]) -> Callable[[str], Any]:
    """A reader of settings as a type for argparse, whose sentence is then what the user sees."""

    def parse(text: str) -> Any:  # noqa: ANN401 (whatever the reader returns)
        try:
            return reader(text.strip())
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from error

    return parse
