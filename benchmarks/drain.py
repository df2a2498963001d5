"""What clients see of a server that is told to stop under load, and what a request costs.

usage: PYTHONPATH=model_server python benchmarks/drain.py [SECONDS [CLIENTS]]

Starts a server with a ResNet-18 at 96 px and random weights, asks it with kept connections for SECONDS, tells
it to stop while all of them go on asking, and prints one table: rate, CPU per request, failed and reset
requests, time to exit. Ends with 1 when a request failed or the server did not exit with 0.
"""

import io
import logging
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http.client import HTTPConnection, HTTPException
from pathlib import Path

import numpy as np
from PIL import Image

DRAIN_SECONDS = 2.0
_PORT = re.compile(r"answering on \S+:(\d+)\.")
_TICKS = os.sysconf("SC_CLK_TCK")


def serve() -> int:
    """The server process; prints its port on standard error."""
    from torchvision import models  # noqa: PLC0415 (only this process needs torch)

    from catfish_server.inference.classifier import Classifier  # noqa: PLC0415
    from catfish_server.lifecycle import Lifecycle  # noqa: PLC0415
    from catfish_server.models.module import TorchModel  # noqa: PLC0415
    from catfish_server.settings import Settings  # noqa: PLC0415
    from catfish_server.web.server import Server  # noqa: PLC0415

    logging.basicConfig(level="INFO", format="%(message)s")
    settings = Settings(
        location="random",
        classes=("cat", "fish"),
        host="127.0.0.1",
        port=0,
        admin_port=0,
        grpc_port=0,
        image_size=96,
        drain_seconds=DRAIN_SECONDS,
    )
    server = Server(settings, Lifecycle())
    server.start_admin()
    classifier = Classifier(
        TorchModel(models.resnet18(weights=None, num_classes=2).eval()),
        settings.classes,
        image_size=settings.image_size,
        mean=settings.mean,
        std=settings.std,
        unknown_threshold=None,
        threads=settings.threads,
    )
    classifier.warm_up()
    server.run(classifier)
    return 0


class Client(threading.Thread):
    """Asks until the port is closed; keeps its connection until told otherwise.

    Args:
        port: the server's, on loopback.
        image: the body of each request.
        stopping: is set before the server is told to stop. From then on, and no sooner, a refused connection is
            what a client may see: the port is closed, and the next one would have been sent elsewhere.
    """

    def __init__(self, port: int, image: bytes, stopping: threading.Event) -> None:
        super().__init__()
        self.port, self.image, self.stopping = port, image, stopping
        self.seconds: list[float] = []
        self.failures: list[str] = []

    def run(self) -> None:
        """One request after the other, up to the first that fails."""
        connection: HTTPConnection | None = None
        try:
            while not self.failures:
                if connection is None:
                    connection = HTTPConnection("127.0.0.1", self.port, timeout=60)
                    if not self._connected(connection):
                        return
                if self._ask(connection):
                    connection.close()
                    connection = None
        except (OSError, HTTPException) as error:
            self.failures.append(repr(error))
        finally:
            if connection is not None:
                connection.close()

    def _connected(self, connection: HTTPConnection) -> bool:
        """Whether there is a connection; False when the port is closed for good."""
        try:
            connection.connect()
        except ConnectionRefusedError:
            if self.stopping.is_set():
                return False
            raise
        return True

    def _ask(self, connection: HTTPConnection) -> bool:
        """One request; whether the server wants the connection closed."""
        began = time.monotonic()
        connection.request("POST", "/predict", self.image, {"Content-Type": "image/jpeg"})
        response = connection.getresponse()
        response.read()
        if response.status != 200:
            self.failures.append(str(response.status))
        self.seconds.append(time.monotonic() - began)
        return response.getheader("Connection") == "close"


@contextmanager
def serving(command: Sequence[str], *, seconds: float = 120) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """Runs a server and gives its process and port, once it has said so. Its log is a file: a pipe would fill up.

    Raises:
        SystemExit: it ended or said nothing; its last lines are quoted.
    """
    with tempfile.NamedTemporaryFile(prefix="drain-", suffix=".log") as log:
        process = subprocess.Popen(command, stderr=log)
        try:
            until = time.monotonic() + seconds
            while (found := _PORT.search(said := Path(log.name).read_text(errors="replace"))) is None:
                if process.poll() is not None or time.monotonic() > until:
                    raise SystemExit("the server did not start:\n" + "\n".join(said.splitlines()[-5:]))
                time.sleep(0.05)
            yield process, int(found[1])
        finally:
            process.kill()
            process.wait()


def exit_seconds(process: subprocess.Popen[bytes], *, patience: float = DRAIN_SECONDS + 60) -> float | None:
    """Tells the server to stop and waits for its end; None when it does not end."""
    stopped = time.monotonic()
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(patience)
    except subprocess.TimeoutExpired:
        process.kill()
        return None
    return time.monotonic() - stopped


def photograph() -> bytes:
    """A JPEG of 500 x 375 pixels and about 90 KB."""
    rng = np.random.default_rng(7)
    coarse = Image.fromarray(rng.integers(0, 255, (94, 125, 3), dtype=np.uint8))
    buffer = io.BytesIO()
    coarse.resize((500, 375)).save(buffer, "JPEG", quality=95)
    return buffer.getvalue()


def cpu_seconds(pid: int) -> float:
    """User and system time of a process (proc(5), fields 14 and 15 of stat)."""
    with open(f"/proc/{pid}/stat", encoding="ascii") as stat:  # noqa: PTH123 (a file of the kernel)
        fields = stat.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


def main() -> int:
    """Measures and prints."""
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 10.0
    count = int(sys.argv[2]) if len(sys.argv) > 2 else 16
    image, stopping = photograph(), threading.Event()
    with serving([sys.executable, __file__, "--serve"]) as (process, port):
        clients = [Client(port, image, stopping) for _ in range(count)]
        used, began = cpu_seconds(process.pid), time.monotonic()
        for client in clients:
            client.start()
        threading.Event().wait(seconds)
        answered = sum(len(client.seconds) for client in clients)
        took, used = time.monotonic() - began, cpu_seconds(process.pid) - used
        stopping.set()
        ended = exit_seconds(process)
        for client in clients:
            client.join()
    times = sorted(second for client in clients for second in client.seconds) or [0.0]
    failures = [failure for client in clients for failure in client.failures]
    print(f"image {len(image)} bytes, {count} clients, {seconds:.0f} s, {os.cpu_count()} cores")
    print(f"req/s  CPU ms/req  p50 ms  p99 ms  answered  failed  exit s (drain {DRAIN_SECONDS:.0f})")
    print(
        f"{answered / took:5.1f}  {1000 * used / max(1, answered):10.1f}  "
        f"{1000 * times[len(times) // 2]:6.0f}  {1000 * times[int(len(times) * 0.99)]:6.0f}  "
        f"{len(times):8d}  {len(failures):6d}  {'never' if ended is None else f'{ended:.1f}'}"
    )
    for failure in failures[:5]:
        print("failed:", failure)
    return int(bool(failures) or process.returncode != 0)


if __name__ == "__main__":
    sys.exit(serve() if "--serve" in sys.argv else main())
