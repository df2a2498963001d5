"""The command line: `python3 -m localcluster up|down|status|kubeconfig|kubectl|build-images|load-image`."""

import argparse
import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from localcluster import build, cluster, direct, prerequisites, providers
from localcluster.errors import LocalClusterError
from localcluster.progress import Progress


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command; a failure is one readable message and exit status 1."""
    options = _parser().parse_args(argv)
    command: Callable[[argparse.Namespace], int] = options.command
    try:
        with _ended_in_order():
            return command(options)
    except LocalClusterError as error:
        return _say_why(error)
    except KeyboardInterrupt:
        print("localcluster: interrupted; run the same command again, or `down`", file=sys.stderr)
    return 1


def _say_why(error: LocalClusterError) -> int:
    """The readable message; returns the exit status."""
    print(f"localcluster: {error}", file=sys.stderr)
    return 1


@contextmanager
def _ended_in_order() -> Iterator[None]:
    """SIGTERM is an exception inside: what was begun is put back on the way out, as by Ctrl-C."""

    def end(number: int, _: object) -> None:
        raise SystemExit(128 + number)

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _up(options: argparse.Namespace) -> int:
    provider, reason = providers.chosen(options.provider)
    print(reason, flush=True)
    progress = Progress()
    provider.up(size=options.nodes, progress=progress)
    providers.remember(options.provider, provider)
    progress.say(f"     export KUBECONFIG={provider.kubeconfig()}")
    return 0


def _add(options: argparse.Namespace) -> int:
    if options.addon != "metrics-server" or not isinstance(providers.remembered(), providers.Local):
        raise LocalClusterError(f"{options.addon} can be added to a local cluster alone")
    cluster.up(metrics=True, progress=Progress())
    return 0


def _down(options: argparse.Namespace) -> int:
    failed = 0
    for name, provider in providers.used().items():
        try:
            provider.down(purge=options.purge, progress=Progress())
            providers.forget(name)
        except LocalClusterError as error:  # it stays noted; the others go all the same
            failed = _say_why(error)
    return failed


def _prerequisites(options: argparse.Namespace) -> int:
    prerequisites.install(tests=options.tests)
    return 0


def _status(_: argparse.Namespace) -> int:
    provider = providers.remembered()
    if not isinstance(provider, providers.Local):
        print(f"kubeconfig: {provider.kubeconfig()}")
        return 0
    running = cluster.current()
    if running is None:
        print("no local cluster is up")
        return 1
    dead = 0
    for part, daemon in running.daemons():
        pid = daemon.pid
        dead += pid is None
        print(f"{part:<16} {daemon.name:<24} {f'pid {pid}' if pid else f'dead, see {daemon.log}'}")
    if dead:
        print("some of it is dead: `up` repairs it")
        return 1
    print(running.plane.kubectl("get", "nodes", "-o", "wide"), end="")
    print(f"kubeconfig: {running.plane.kubeconfig}")
    return 0


def _kubeconfig(_: argparse.Namespace) -> int:
    print(providers.remembered().kubeconfig())
    return 0


def _kubectl(options: argparse.Namespace) -> int:
    words = options.words[1:] if options.words[:1] == ["--"] else options.words
    program = build.kubectl(lambda line: print(line, file=sys.stderr))
    environment = {**direct.environment(), "KUBECONFIG": str(providers.remembered().kubeconfig())}
    sys.stdout.flush()
    os.execve(program, ["kubectl", *words], environment)  # noqa: S606 - kubectl takes our place, terminal and all


def _build_images(options: argparse.Namespace) -> int:
    from localcluster import images  # noqa: PLC0415 - the cluster alone does not need the image tools

    server = options.only or "server"
    for version in options.version if server != "operator" else ():
        images.build([server], version)
    if options.only in {None, "operator"}:
        images.build(["operator"])
    return 0


def _load_image(options: argparse.Namespace) -> int:
    progress = Progress()
    with progress.step("load images"):
        providers.remembered().load(options.names, progress.say)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="localcluster", description="A real Kubernetes on this machine.")
    verbs = parser.add_subparsers(required=True, metavar="COMMAND")

    def verb(name: str, command: Callable[[argparse.Namespace], int], text: str) -> argparse.ArgumentParser:
        added = verbs.add_parser(name, help=text, description=text)
        added.set_defaults(command=command)
        return added

    up = verb("up", _up, "start a cluster, or repair the one that is there")
    up.add_argument("--provider", choices=providers.NAMES, default="auto")
    up.add_argument("--nodes", type=int, choices=range(1, 10), default=1, metavar="N")
    add = verb("add", _add, "add a part that only some need: metrics-server, which autoscalers ask")
    add.add_argument("addon", choices=("metrics-server",))
    down = verb("down", _down, "remove the cluster; its images stay in the cache")
    down.add_argument("--purge", action="store_true", help="remove the images too")
    needs = verb(
        "prerequisites", _prerequisites, "install the packages of this system that the cluster needs"
    )
    needs.add_argument("--tests", action="store_true", help="and those that only the tests need")
    verb("status", _status, "say what is running; exit 1 if something is not")
    verb("kubeconfig", _kubeconfig, "print the path of the administrator's kubeconfig")
    kubectl = verb("kubectl", _kubectl, "run kubectl against the cluster: kubectl -- get pods")
    kubectl.add_argument("words", nargs=argparse.REMAINDER, metavar="-- ARGS")
    images = verb("build-images", _build_images, "build the images with docker or buildah")
    images.add_argument("--only", choices=("server", "server-onnx", "operator"))
    images.add_argument(
        "--version", nargs="+", default=["v1"], help="the server image's tag; several for several"
    )
    load = verb("load-image", _load_image, "give images of this machine to all nodes")
    load.add_argument("names", nargs="+", metavar="NAME")
    return parser


if __name__ == "__main__":
    sys.exit(main())
