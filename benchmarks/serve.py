"""What serving a model costs, beside mosec that runs the module eagerly and Flask on waitress as usually written.

usage: make bench-serve, or python -m benchmarks.serve [--seconds 20] [--rounds 3] [--only resnet50]

All servers run at the same time and are asked by turns, round after round: a neighbour that is busy for a while is
busy for all of them. What is printed is the ratio within a round, the median of the rounds; milliseconds of
processor time a request depend least on what else the machine does. Writes build/bench/serve.json.
"""

import argparse
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks import serve_load, serve_peers
from benchmarks.drain import photograph
from catfish_server import cpus
from localcluster.ports import free_ports

TARGET = Path("build/bench/serve.json")
START_SECONDS = 300.0
ENGINE_SECONDS = 900.0
PROBES_A_SECOND = 10


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
            lambda: re.search(r"Eager takes|runs on|Engine eager: chosen|No other", log.read_text()),
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
def peer(kind: str, workload: Workload, directory: Path, image: bytes) -> Iterator[Running]:
    """One of the others."""
    (port,) = free_ports(1)
    file, log = serve_peers.weights(workload.architecture, directory), directory / f"{kind}.log"
    command = serve_peers.command(
        kind, workload.architecture, file, size=workload.size, port=port, batch=workload.batch
    )
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


def rounds(
    servers: list[Running], image: bytes, *, clients: int, seconds: float, count: int
) -> list[dict[str, object]]:
    """Rows of all servers over all rounds: rate, latency and processor time, and the median ratios to Catfish."""
    measured: dict[str, list[serve_load.Measured]] = {server.name: [] for server in servers}
    for _ in range(count):
        for server in servers:
            measured[server.name].append(
                serve_load.closed(
                    server.port, server.pid, image, clients=clients, seconds=seconds, path=server.path
                )
            )
    own = measured["catfish"]
    return [
        {
            "server": name,
            "clients": clients,
            "rate": statistics.median(each.rate for each in all_of_it),
            "p50_ms": statistics.median(each.percentile(0.5) for each in all_of_it),
            "p99_ms": statistics.median(each.percentile(0.99) for each in all_of_it),
            "cpu_ms": statistics.median(each.cpu_milliseconds for each in all_of_it),
            "refused": sum(sum(each.refused.values()) for each in all_of_it),
            "rate_ratio": _ratio(own, all_of_it, lambda each: each.rate),
            "p50_ratio": _ratio(own, all_of_it, lambda each: each.percentile(0.5)),
            "cpu_ratio": _ratio(own, all_of_it, lambda each: each.cpu_milliseconds),
        }
        for name, all_of_it in measured.items()
    ]


def _ratio(
    own: list[serve_load.Measured],
    others: list[serve_load.Measured],
    value: Callable[[serve_load.Measured], float],
) -> float:
    """Catfish's value over the other's, the median of the rounds."""
    pairs = zip(own, others, strict=True)
    return statistics.median(value(one) / (value(other) or float("nan")) for one, other in pairs)


def overload(server: Running, image: bytes, *, rated: float, seconds: float) -> dict[str, object]:
    """Four times what the server can do, while its probes are asked."""
    times: list[float] = []
    over = threading.Event()

    def probe() -> None:
        while not over.wait(1 / PROBES_A_SECOND):
            began = time.monotonic()
            with urllib.request.urlopen(
                f"http://127.0.0.1:{server.admin_port}/livez", timeout=30
            ) as response:
                response.read()
            times.append(time.monotonic() - began)

    thread = threading.Thread(target=probe)
    thread.start()
    measured = serve_load.open_loop(
        server.port, server.pid, image, rate=4 * rated, seconds=seconds, path=server.path
    )
    over.set()
    thread.join()
    times.sort()
    return {
        "rated": rated,
        "goodput_share": measured.rate / rated,
        "refused": measured.refused,
        "refused_without_retry_after": measured.silent,
        "probe_p99_ms": 1000 * times[int(0.99 * len(times))] if times else None,
    }


def measure(name: str, workload: Workload, *, seconds: float, count: int) -> dict[str, object]:
    """All of one workload."""
    image = photograph()
    with tempfile.TemporaryDirectory(prefix="catfish-serve-") as folder, ExitStack() as stack:
        directory = Path(folder)
        facts: dict[str, object] = dict(bare_import(directory))
        servers = [stack.enter_context(catfish(workload, directory, image, facts))]
        servers += [
            stack.enter_context(peer(kind, workload, directory, image)) for kind in ("mosec", "flask")
        ]
        rows = [
            row
            for clients in ((32, 1) if name == "resnet50" else (32,))
            for row in rounds(servers, image, clients=clients, seconds=seconds, count=count)
        ]
        rated = float(str(rows[0]["rate"]))
        return {
            "workload": name,
            "architecture": workload.architecture,
            "instruction_set": cpus.instruction_set(),
            **facts,
            "rows": rows,
            "overload": overload(servers[0], image, rated=rated, seconds=seconds),
        }


def show(result: dict[str, object]) -> None:
    """Prints one workload."""
    number = {key: float(str(value)) for key, value in result.items() if isinstance(value, int | float)}
    print(f"\n{result['architecture']}, engine {result['engine']}, {result['instruction_set']}")
    print(
        f"start to ready {number['ready_seconds']:.1f} s (bare import {number['bare_seconds']:.1f} s); "
        f"memory {number['pss_mib']:.0f} MiB, with eager {number['pss_eager_mib']:.0f} MiB "
        f"(bare import {number['bare_pss_mib']:.0f} MiB)"
    )
    print("server   clients   req/s  p50 ms  p99 ms  CPU ms/req  refused   Catfish is: rate  p50   CPU")
    for row in result["rows"]:
        print(
            f"{row['server']:8} {row['clients']:7d} {row['rate']:7.1f} {row['p50_ms']:7.0f} {row['p99_ms']:7.0f} "
            f"{row['cpu_ms']:11.1f} {row['refused']:8d}   {row['rate_ratio']:16.2f}x {row['p50_ratio']:4.2f}x "
            f"{row['cpu_ratio']:4.2f}x"
        )
    print("overload, 4 times that:", json.dumps(result["overload"]))


def main() -> int:
    """Measures, prints and writes."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=20.0, help="of load on each server in each round")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", choices=WORKLOADS, help="one workload")
    arguments = parser.parse_args()
    results = []
    for name, workload in WORKLOADS.items():
        if arguments.only in {None, name}:
            results.append(measure(name, workload, seconds=arguments.seconds, count=arguments.rounds))
            show(results[-1])
    TARGET.parent.mkdir(parents=True, exist_ok=True)
    TARGET.write_text(json.dumps(results, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
