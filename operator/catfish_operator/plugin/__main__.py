"""`kubectl catfish`: reads the command line, runs the verb, prints the answer.

Exit codes: 0 done; 1 the cluster was asked and it cannot be done; 2 the command line is wrong; 3 the cluster
could not be asked (no kubeconfig, no answer, no CRD). An error is one line on stderr.
"""

import argparse
import json
import os
import shutil
import sys
from collections.abc import Sequence
from datetime import UTC, datetime

from catfish_operator.errors import CatfishError
from catfish_operator.plugin import api
from catfish_operator.plugin.commands import VERBS, Answer, Request
from catfish_operator.plugin.problems import DONE, exit_code

INTERRUPTED = 130  # what a shell says of a program that SIGINT ended

HELP = {
    "explain": "what serves, what is wanted, why not, since when, and what to do",
    "history": "the revisions of a model and how each of them went",
    "undo": "write the spec of an older revision back: the last proven one, or --to REVISION",
    "retry": "try a revision that has failed once more",
    "restart": "replace all pods by a new revision of the same spec",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command; returns the exit code."""
    arguments = parser().parse_args(argv)
    try:
        print(_answer(arguments), flush=True)  # noqa: T201 - a command-line tool prints
    except CatfishError as error:
        sys.stderr.write(f"error: {error}\n")
        return exit_code(error)
    except BrokenPipeError:  # the reader, such as head, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except KeyboardInterrupt:
        return INTERRUPTED
    return DONE


def parser() -> argparse.ArgumentParser:
    """The command line; the flags that kubectl has too are called as there."""
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("name", metavar="NAME", help="the CatfishModel")
    common.add_argument("-n", "--namespace", help="its namespace; default: that of the context")
    common.add_argument("--context", help="the context of the kubeconfig; default: the current one")
    common.add_argument("--kubeconfig", help="the kubeconfig; default: $KUBECONFIG, else ~/.kube/config")
    common.add_argument("-o", "--output", choices=["text", "json"], default="text", help="default: text")
    whole = argparse.ArgumentParser(
        prog="kubectl catfish",
        description="Explains Catfish models, and goes back to what was proven.",
        epilog="Exit codes: 0 done, 1 it cannot be done, 2 wrong command line, 3 the cluster cannot be asked.",
    )
    verbs = whole.add_subparsers(dest="verb", metavar="VERB", required=True)
    for verb, sentence in HELP.items():
        below = verbs.add_parser(verb, parents=[common], help=sentence, description=sentence)
        if verb == "undo":
            below.add_argument("--to", metavar="REVISION", help="a name that `history` lists")
    return whole


def _answer(arguments: argparse.Namespace) -> str:
    terminal = sys.stdout.isatty()
    request = Request(
        name=arguments.name,
        to=getattr(arguments, "to", None),
        now=datetime.now(UTC),
        width=shutil.get_terminal_size().columns if terminal else None,
        colours=terminal and not os.environ.get("NO_COLOR"),  # https://no-color.org
    )
    with api.connect(
        kubeconfig=arguments.kubeconfig, context=arguments.context, namespace=arguments.namespace
    ) as opened:
        answer: Answer = VERBS[arguments.verb](opened, request)
    return json.dumps(answer.data, indent=2) if arguments.output == "json" else answer.text


if __name__ == "__main__":
    sys.exit(main())
