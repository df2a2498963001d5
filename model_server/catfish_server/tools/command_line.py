"""The command line of `catfish`: its verbs, and what each of them is told.

It imports nothing that is not Python's own, so that `--help` is there where no extra is installed, and at once.
"""

import argparse
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from catfish_server import readers
from catfish_server.tools import arguments as shared
from catfish_server.tools.errors import Usage

KINDS = {
    "trace": "TorchScript, from what one forward pass does",
    "script": "TorchScript, from the source of the module",
    "hybrid": "TorchScript, whose parts are traced inside a scripted whole",
    "program": "torch.export, which torch recommends for new work",
    "onnx": "ONNX, which needs no torch to be served",
}
"""What `export` writes."""

ENGINES = {"onnxruntime": "ONNX", "torch": "TorchScript, by what torch calls deprecated"}
"""Whose quantization it may be, and what each writes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verb:
    """What `catfish --help` says of a verb, and its own arguments; the module of its name in `verbs` does it.

    Attributes:
        help: one line.
        add: tells the parser the arguments; `--json` is there already.
    """

    help: str
    add: Callable[[argparse.ArgumentParser], None]


class Parser(argparse.ArgumentParser):
    """Says in one line what is wrong with a command line; argparse would print the usage before it."""

    def error(self, message: str) -> NoReturn:
        """Raises Usage."""
        raise Usage(f"{message.removeprefix('argument ')}; see {self.prog} --help")


def parser() -> argparse.ArgumentParser:
    """The command line; `verb` of what it parses is one of `VERBS`."""
    whole = Parser(
        prog="catfish",
        description="Turns weights into what is served, and checks that it answers as the weights do.",
        epilog="Exit codes: 0 done, 1 checked and not good enough, 2 wrong command line, 3 a file cannot be used or a "
        "package is not installed.",
        allow_abbrev=False,
    )
    verbs = whole.add_subparsers(metavar="VERB", required=True)
    for name, verb in VERBS.items():
        below = verbs.add_parser(name, help=verb.help, description=verb.help, allow_abbrev=False)
        verb.add(below)
        below.add_argument("--json", action="store_true", help="print the result, or the error, as JSON")
        below.set_defaults(verb=name)
    return whole


def _export(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "kind", metavar="KIND", choices=KINDS, help="; ".join(f"{k}: {said}" for k, said in KINDS.items())
    )
    parser.add_argument("weights", metavar="WEIGHTS", type=Path, help="of torch.save, or safetensors")
    parser.add_argument("out", metavar="OUT", type=Path, help="the file to write")
    parser.add_argument(
        "--samples", metavar="DIR", type=Path, help="pictures to compare on; default: a few that are made up"
    )
    parser.add_argument(
        "--with-preprocess",
        action="store_true",
        help="put resizing, cutting and normalising inside: the file takes raw RGB pixels (uint8) of any size",
    )
    shared.add_limit(parser, default=100)
    shared.add_model(parser)


def _inspect(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", metavar="FILE", type=Path)
    parser.add_argument("--code", action="store_true", help="print the graph or the code as well")
    shared.add_model(parser)


def _digest(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", metavar="FILE", type=Path)


def _convert(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("weights", metavar="WEIGHTS", type=Path, help="of torch.save, or safetensors")
    parser.add_argument("out", metavar="OUT", type=_safetensors, help="ends in .safetensors")
    parser.add_argument(
        "--classes",
        metavar="A,B",
        type=shared.read(readers.classes),
        help="in the order of the outputs; default: as the weights name them",
    )
    parser.add_argument(
        "--architecture",
        metavar="NAME",
        type=shared.read(readers.name),
        help="that the weights are for: checked, and written into the file",
    )
    shared.add_preparation(parser)


def _safetensors(text: str) -> Path:
    if not text.endswith(".safetensors"):
        raise argparse.ArgumentTypeError("must end in .safetensors")
    return Path(text)


def _quantize(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("weights", type=Path, metavar="WEIGHTS", help="weights, or an ONNX model in float32")
    parser.add_argument("out", type=Path, metavar="OUT", help="the file to write")
    parser.add_argument(
        "--calibrate", type=Path, metavar="DIR", help="pictures, best in a directory for each class"
    )
    parser.add_argument(
        "--samples",
        type=Path,
        metavar="DIR",
        help="other pictures to check the result on: 99 of 100 must get the class that they got before",
    )
    shared.add_limit(parser, default=1000)
    parser.add_argument(
        "--engine",
        choices=ENGINES,
        default="onnxruntime",
        help="; ".join(f"{name} writes {said}" for name, said in ENGINES.items()) + "; default: onnxruntime",
    )
    parser.add_argument("--dynamic", action="store_true", help="the weights of linear layers alone")
    parser.add_argument(
        "--full-range", action="store_true", help="weights of 8 bits, not 7: for processors with VNNI alone"
    )
    shared.add_model(parser)


def _verify(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("new", type=Path, metavar="NEW", help="the file that is to be served")
    parser.add_argument("--against", type=Path, metavar="OLD", help="the file that is served until now")
    parser.add_argument(
        "--samples", type=Path, required=True, metavar="DIR", help="pictures, in a directory for each class"
    )
    shared.add_limit(parser, default=1000)
    parser.add_argument(
        "--min-accuracy",
        type=shared.read(readers.number(0, 1)),
        metavar="SHARE",
        help="to answer right, 0..1; default: 1, and with --against whatever OLD reaches",
    )
    parser.add_argument(
        "--unknown-threshold",
        type=shared.read(readers.number(0, 1)),
        metavar="SHARE",
        help="as in the CatfishModel: a probability below it makes the answer `unknown`; default: none does",
    )
    shared.add_model(parser)
    shared.add_against(parser)


VERBS: Mapping[str, Verb] = {
    "export": Verb(help="write weights as a whole model: TorchScript, torch.export or ONNX", add=_export),
    "inspect": Verb(
        help="print what is in a model's file: layers, shapes, graph or code, and what it needs to be served",
        add=_inspect,
    ),
    "digest": Verb(help="print the SHA-256 of a model's file, for spec.weights.sha256", add=_digest),
    "convert": Verb(
        help="turn weights of torch.save into safetensors, with the classes inside", add=_convert
    ),
    "quantize": Verb(
        help="write the model in 8 bits (ONNX), unless it then answers otherwise", add=_quantize
    ),
    "verify": Verb(
        help="check a model on golden pictures as a pod does, and against an older one", add=_verify
    ),
}
"""In the order of `catfish --help`."""
