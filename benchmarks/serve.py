"""What serving a model costs, beside mosec that runs the module eagerly and Flask on waitress as usually written.

usage: make bench-serve, or python -m benchmarks.serve [--seconds 20] [--rounds 3] [--only resnet50]

All servers run at the same time, on as many cores, and are asked by turns, each round in the other order: a neighbour
that is busy for a while is busy for all of them. Each is warmed up by the same load, and every answer must be the class
that all of them agreed on. What is printed is the ratio within a round, the median of the rounds, and p50 and p99 over
the answers of all rounds; milliseconds of processor time a request depend least on what else the machine does. Once
Catfish has chosen an engine, mosec runs that one too. Exit code 1 where a target (serve_targets.py) was missed or not
measured. Writes build/bench/serve.json.
"""

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks import (
    serve_load,
    serve_neighbour,
    serve_overload,
    serve_peers,
    serve_table,
    serve_targets,
)
from benchmarks.drain import photograph
from catfish_server import cpus
from localcluster.ports import free_ports

TARGET = Path("build/bench/serve.json")
START_SECONDS = 300.0
ENGINE_SECONDS = 900.0
ENGINES = ("torchscript", "onnxruntime")
ENGINE_SETTLED = re.compile(r"Eager takes|The model runs on|Engine eager: chosen|No other engine")


@dataclass(frozen=True, kw_only=True)
class Workload:
    """One model and what each peer makes of it.

    Attributes:
        architecture: of torchvision.
        size: of its images in pixels.
        batch: the largest that mosec makes; 1 where batches do not pay.
    """

    architecture: str
    size: int
    batch: int


WORKLOADS = {
    "resnet50": Workload(architecture="resnet50", size=224, batch=1),
    "tiny": Workload(architecture="squeezenet1_1", size=64, batch=16),
}


@dataclass(frozen=True, kw_only=True)
class Running:
    """A server that answers."""

    name: str
    pid: int
    port: int
    path: str
    admin_port: int | None = None


@contextmanager
def process(command: list[str], log: Path, **env: str) -> Iterator[subprocess.Popen[bytes]]:
    """Runs a program until the block ends; what it says is in a file."""
    with log.open("wb") as file:
        started = subprocess.Popen(command, env={**os.environ, **env}, stdout=file, stderr=file)
    try:
        yield started
    finally:
        started.terminate()
        try:
            started.wait(30)
        except subprocess.TimeoutExpired:
            started.kill()
            started.wait()


def wait(
    condition: Callable[[], object], started: subprocess.Popen[bytes], log: Path, *, seconds: float
) -> None:
    """Waits for a condition, or ends with the last lines of the server's log."""
    until = time.monotonic() + seconds
    while not condition():
        if started.poll() is not None or time.monotonic() > until:
            raise SystemExit(f"{log.stem} did not start:\n" + "\n".join(log.read_text().splitlines()[-5:]))
        time.sleep(0.1)


@contextmanager
def catfish(workload: Workload, directory: Path, image: bytes, facts: dict[str, object]) -> Iterator[Running]:
    """The server, once it has settled on an engine; notes when it was ready and what it takes."""
    port, admin_port = free_ports(2)
    file, log = serve_peers.weights(workload.architecture, directory), directory / "catfish.log"
    options = {
        "--weights": str(file),
        "--architecture": workload.architecture,
        "--classes": json.dumps([f"class-{number}" for number in range(serve_peers.CLASSES)]),
        "--image-size": str(workload.size),
        "--host": "127.0.0.1",
        "--port": str(port),
        "--admin-port": str(admin_port),
        "--cache-dir": str(directory),
        "--threads": str(cpus.available()),
        "--engine": "auto",
        "--engine-delay-seconds": "1",
        "--drain-seconds": "0",
    }
    command = [sys.executable, "-m", "catfish_server", *(word for pair in options.items() for word in pair)]
    began = time.monotonic()
    with process(command, log) as started:
        wait(lambda: serve_peers.ready(port, image, "/predict"), started, log, seconds=START_SECONDS)
        facts["ready_seconds"] = time.monotonic() - began
        facts["pss_eager_mib"] = serve_load.pss_mib(started.pid)
        wait(
            lambda: ENGINE_SETTLED.search(log.read_text()),
            started,
            log,
            seconds=ENGINE_SECONDS,
        )
        time.sleep(3)  # it gives memory back
        for _ in range(4):
            serve_peers.ready(port, image, "/predict")
        facts["pss_mib"] = serve_load.pss_mib(started.pid)
        facts["engine"] = engine(admin_port)
        yield Running(name="catfish", pid=started.pid, port=port, path="/predict", admin_port=admin_port)


@contextmanager
def peer(kind: str, workload: Workload, directory: Path, image: bytes, *, engine: str) -> Iterator[Running]:
    """One of the others; `engine` is what runs the model there."""
    (port,) = free_ports(1)
    file, log = serve_peers.weights(workload.architecture, directory), directory / f"{kind}.log"
    if engine != "eager":
        serve_peers.prepare(workload.architecture, file, engine=engine, size=workload.size)
    model = serve_peers.Weights(workload.architecture, file, workload.size, engine)
    command = serve_peers.command(kind, model, port=port, batch=workload.batch, processes=cpus.available())
    with process(command, log) as started:
        wait(lambda: serve_peers.ready(port, image, "/inference"), started, log, seconds=START_SECONDS)
        yield Running(name=kind, pid=started.pid, port=port, path="/inference")


def engine(admin_port: int) -> str:
    """What runs the model, as the server's metrics tell."""
    with urllib.request.urlopen(f"http://127.0.0.1:{admin_port}/metrics", timeout=10) as response:
        found = re.search(r'catfish_runtime_info{.*engine="(\w+)"', response.read().decode())
    return found[1] if found else "unknown"


def bare_import(directory: Path) -> dict[str, float]:
    """Seconds and MiB of a Python that imports torch and torchvision, and nothing else."""
    log, began = directory / "bare.log", time.monotonic()
    code = "import torch, torchvision; print('imported', flush=True); import time; time.sleep(600)"
    with process([sys.executable, "-c", code], log) as started:
        wait(lambda: "imported" in log.read_text(), started, log, seconds=START_SECONDS)
        return {"bare_seconds": time.monotonic() - began, "bare_pss_mib": serve_load.pss_mib(started.pid)}


def agreed(servers: list[Running], image: bytes) -> dict[str, serve_load.Target]:
    """What is asked of each server; ends the run where they do not answer with the same class."""
    answers = {
        server.name: serve_load.prediction(serve_peers.answer(server.port, image, server.path))
        for server in servers
    }
    if len({str(given).removeprefix("class-") for given in answers.values()}) != 1:
        raise SystemExit(f"The servers do not do the same work: {answers}.")
    return {
        server.name: serve_load.Target(
            port=server.port, pid=server.pid, path=server.path, image=image, prediction=answers[server.name]
        )
        for server in servers
    }


def measure(name: str, workload: Workload, *, seconds: float, count: int) -> dict[str, object]:
    """All of one workload."""
    image = photograph()
    with tempfile.TemporaryDirectory(prefix="catfish-serve-") as folder, ExitStack() as stack:
        directory = Path(folder)
        facts: dict[str, object] = dict(bare_import(directory))
        own = stack.enter_context(catfish(workload, directory, image, facts))
        others = {"mosec": "eager", "flask": "eager"}
        if facts["engine"] in ENGINES:
            others["mosec+engine"] = str(facts["engine"])
        servers = [own] + [
            stack.enter_context(peer(kind, workload, directory, image, engine=engine))
            for kind, engine in others.items()
        ]
        targets = agreed(servers, image)
        rows = [
            row
            for clients in ((32, 1) if name == "resnet50" else (32,))
            for row in serve_table.rounds(targets, clients=clients, seconds=seconds, count=count)
        ]
        beside = serve_neighbour.neighbour(targets["catfish"], seconds=seconds, count=count)
        return {
            "workload": name,
            "architecture": workload.architecture,
            "instruction_set": cpus.instruction_set(),
            "threads": cpus.available(),
            "mosec": serve_peers.MOSEC,
            "seconds": seconds,
            "rounds": count,
            **facts,
            "rows": rows,
            "neighbour": beside,
            "overload": serve_overload.overload(
                targets["catfish"],
                admin_port=own.admin_port or 0,
                rated=float(str(rows[0]["rate"])),
                seconds=seconds,
            ),
        }


def main() -> int:
    """Measures, prints and writes."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=20.0, help="of load on each server in each round")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", choices=WORKLOADS, help="one workload")
    arguments = parser.parse_args()
    results, all_met = [], True
    for name, workload in WORKLOADS.items():
        if arguments.only in {None, name}:
            results.append(measure(name, workload, seconds=arguments.seconds, count=arguments.rounds))
            serve_table.show(results[-1])
            verdicts = serve_targets.verdicts(results[-1])
            results[-1]["targets"] = [asdict(one) | {"met": one.met} for one in verdicts]
            print("\n".join(map(str, verdicts)))
            all_met = all_met and all(one.met for one in verdicts)
            TARGET.parent.mkdir(parents=True, exist_ok=True)
            TARGET.write_text(json.dumps(results, indent=2, allow_nan=False) + "\n")
    return 0 if all_met else 1


if __name__ == "__main__":
    sys.exit(main())
