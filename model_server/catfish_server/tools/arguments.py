"""The flags that several verbs share: what a `CatfishModel` would say of a file, and those about pictures.

Like `command_line` it imports nothing that is not Python's own.
"""

import argparse
from collections.abc import Callable
from typing import Any

from catfish_server import readers


def read(reader: Callable[[str], Any]) -> Callable[[str], Any]:
    """A reader of settings as a type for argparse, whose sentence is then what the user sees."""

    def parse(text: str) -> Any:  # noqa: ANN401 (whatever the reader returns)
        try:
            return reader(text.strip())
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from error

    return parse


IMAGE_SIZE = read(readers.integer(8, 2048))
NORMALISATION = {
    "mean": read(readers.triple(-10, 10, above=False)),
    "std": read(readers.triple(0, 10, above=True)),
}
"""Types for argparse of what a `CatfishModel` says of the pictures."""


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
    add_preparation(group)
    group.add_argument(
        "--trust",
        action="store_true",
        help="run a file that is code (TorchScript, torch.export): you know whose it is",
    )


def add_preparation(group: argparse._ActionsContainer) -> None:
    """Adds what says how pictures are prepared for the model."""
    group.add_argument(
        "--image-size",
        metavar="PIXELS",
        type=IMAGE_SIZE,
        help="height and width; default: as the file says, else 224",
    )
    for name, meaning in (("mean", "subtracted from"), ("std", "divided out of")):
        group.add_argument(
            f"--{name}",
            metavar="R,G,B",
            type=NORMALISATION[name],
            help=f"{meaning} pixels of 0..1; default: as the file says, else ImageNet's",
        )


def add_against(parser: argparse.ArgumentParser) -> None:
    """Adds what says how the older of two files is to be understood, where that is not as it says itself."""
    group = parser.add_argument_group("the older model", "what the CatfishModel said of it that serves it")
    group.add_argument(
        "--against-architecture",
        metavar="NAME",
        type=read(readers.name),
        help="default: as OLD says, else resnet50",
    )
    group.add_argument(
        "--against-classes",
        metavar="A,B",
        type=read(readers.classes),
        help="default: --classes, else as OLD names them, else as for NEW",
    )
    for name, metavar, reader, least in (
        ("image-size", "PIXELS", IMAGE_SIZE, "224"),
        ("mean", "R,G,B", NORMALISATION["mean"], "ImageNet's"),
        ("std", "R,G,B", NORMALISATION["std"], "ImageNet's"),
    ):
        group.add_argument(
            f"--against-{name}",
            metavar=metavar,
            type=reader,
            help=f"default: as OLD says, else --{name}, else {least}",
        )


def add_limit(parser: argparse.ArgumentParser, *, default: int) -> None:
    """Adds how many of the pictures in a directory are looked at."""
    parser.add_argument(
        "--limit",
        type=read(readers.integer(1, 1_000_000)),
        default=default,
        metavar="N",
        help=f"most pictures to look at; default: {default}",
    )
