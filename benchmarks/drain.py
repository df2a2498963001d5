"""What clients see of a server that is told to stop under load, and what a request costs.

usage: PYTHONPATH=model_server python benchmarks/drain.py [SECONDS [CLIENTS]]

Starts a server with a ResNet-18 at 96 px and random weights, asks it with kept connections for SECONDS, tells
it to stop while all of them go on asking, and prints one table: rate, CPU per request, failed and reset
requests, time to exit.
"""

import io
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from http.client import HTTPConnection, HTTPException

import numpy as np
from PIL import Image

DRAIN_SECONDS = 2.0
_TICKS = os.sysconf("SC_CLK_TCK")


def serve() -> None:
    """The server process; prints its port on standard error."""
    from torchvision import models  # noqa: PLC0415 (only this process needs torch)

    from catfish_server.inference.classifier import Classifier  # noqa: PLC0415
    from catfish_server.lifecycle import Lifecycle  # noqa: PLC0415
    from catfish_server.settings import Settings  # noqa: PLC0415
    from catfish_server.web.server import Server  # noqa: PLC0415

    logging.basicConfig(level="INFO", format="%(message)s")
    settings = Settings(
        location="random",
        classes=("cat", "fish"),
        host="127.0.0.1",
        port=0,
        admin_port=0,
        image_size=96,
        drain_seconds=DRAIN_SECONDS,
    )
    server = Server(settings, Lifecycle())
    server.start_admin()
    classifier = Classifier(
        models.resnet18(weights=None, num_classes=2).eval(),
        settings.classes,
        image_size=settings.image_size,
        mean=settings.mean,
        std=settings.std,
        unknown_threshold=None,
        threads=settings.threads,
    )
    classifier.warm_up()
    server.run(classifier)


class Client(threading.Thread):
    """Asks until the port is closed; keeps its connection until told otherwise."""

    def __init__(self, port: int, image: bytes) -> None:
        super().__init__()
        self.port, self.image = port, image
        self.seconds: list[float] = []
        self.failures: list[str] = []

    def run(self) -> None:
        """One request after the other."""
        connection: HTTPConnection | None = None
        while not self.failures:
            if connection is None:
                connection = HTTPConnection("127.0.0.1", self.port, timeout=60)
                try:
                    connection.connect()
                except OSError:
                    return
            began = time.monotonic()
            try:
                connection.request("POST", "/predict", self.image, {"Content-Type": "image/jpeg"})
                response = connection.getresponse()
                response.read()
            except (OSError, HTTPException) as error:
                self.failures.append(repr(error))
                return
            if response.status != 200:
                self.failures.append(str(response.status))
            self.seconds.append(time.monotonic() - began)
            if response.getheader("Connection") == "close":
                connection.close()
                connection = None


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


def main() -> None:
    """Measures and prints."""
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 10.0
    count = int(sys.argv[2]) if len(sys.argv) > 2 else 16
    process = subprocess.Popen([sys.executable, __file__, "--serve"], stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None  # noqa: S101 (asked for above)
    port = 0
    for line in process.stderr:
        if "answering on" in line:
            port = int(line.rsplit(":", 1)[1].rstrip(".\n"))
            break
    image = photograph()
    clients = [Client(port, image) for _ in range(count)]
    used, began = cpu_seconds(process.pid), time.monotonic()
    for client in clients:
        client.start()
    threading.Event().wait(seconds)
    answered = sum(len(client.seconds) for client in clients)
    took, used = time.monotonic() - began, cpu_seconds(process.pid) - used
    process.send_signal(signal.SIGTERM)
    stopped = time.monotonic()
    process.wait()
    exit_seconds = time.monotonic() - stopped
    for client in clients:
        client.join()
    process.stderr.close()
    times = sorted(second for client in clients for second in client.seconds)
    failures = [failure for client in clients for failure in client.failures]
    print(f"image {len(image)} bytes, {count} clients, {seconds:.0f} s, {os.cpu_count()} cores")
    print("req/s  CPU ms/req  p50 ms  p99 ms  answered  failed  exit s (drain 2)")
    print(
        f"{answered / took:5.1f}  {1000 * used / max(1, answered):10.1f}  "
        f"{1000 * times[len(times) // 2]:6.0f}  {1000 * times[int(len(times) * 0.99)]:6.0f}  "
        f"{len(times):8d}  {len(failures):6d}  {exit_seconds:.1f}"
    )
    for failure in failures[:5]:
        print("failed:", failure)


if __name__ == "__main__":
    serve() if "--serve" in sys.argv else main()
