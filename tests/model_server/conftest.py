"""The whole program as a process, for the tests that start it and ask it."""

import http.client
import http.server
import json
import os
import subprocess
import sys
import threading
import time

import pytest

from localcluster.ports import free_ports

SECONDS = 60


class Program:
    """A running server and its termination message."""

    def __init__(self, directory, env):
        self.port, self.admin_port = env["CATFISH_PORT"], env["CATFISH_ADMIN_PORT"]
        self.log = directory / "termination-log"
        self.log.write_bytes(b"")
        # A file: a pipe that nobody reads is full at some time, and whoever logs then waits for ever.
        self.errors = directory / "stderr"
        with self.errors.open("w") as errors:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "catfish_server"],
                env={
                    "PATH": os.environ["PATH"],
                    "PYTHONPATH": os.pathsep.join(sys.path),
                    "CATFISH_HOST": "127.0.0.1",
                    "CATFISH_CLASSES": "cat,fish",
                    "CATFISH_ARCHITECTURE": "resnet18",
                    "CATFISH_IMAGE_SIZE": "64",
                    "CATFISH_CACHE_DIR": str(directory),
                    "CATFISH_TERMINATION_LOG": str(self.log),
                    "CATFISH_DRAIN_SECONDS": "0",
                    "CATFISH_GRPC_PORT": "0",
                    **{name: str(value) for name, value in env.items()},
                },
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
            )

    def get(self, path):
        """Status and body of the API."""
        return _get(self.port, path)

    def post(self, path, image):
        """Status and body of the API's answer to an image."""
        return _ask(self.port, "POST", path, image, {"Content-Type": "application/octet-stream"})

    def probe(self, path):
        """Status and body of the admin port, 0 where nobody listens yet."""
        return _get(self.admin_port, path)

    def until(self, path, status):
        """Waits until the admin port answers with the status."""
        deadline = time.monotonic() + SECONDS
        while self.probe(path)[0] != status:
            assert time.monotonic() < deadline, f"no {status} from {path}"
            threading.Event().wait(0.05)

    def end(self, seconds=SECONDS):
        """The exit code, what was written to stderr, and the termination message."""
        self.process.communicate(timeout=seconds)
        told = self.log.read_bytes()
        return self.process.returncode, self.errors.read_text(), json.loads(told) if told else None


def _get(port, path):
    return _ask(port, "GET", path, None, {})


def _ask(port, method, path, body, headers):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request(method, path, body, headers)
        response = connection.getresponse()
        return response.status, response.read()
    except OSError:
        return 0, b""
    finally:
        connection.close()


@pytest.fixture
def program(tmp_path):
    started = []

    def start(**env):
        port, admin_port = free_ports(2)
        running = Program(tmp_path, {"CATFISH_PORT": port, "CATFISH_ADMIN_PORT": admin_port} | env)
        started.append(running.process)
        return running

    yield start
    for process in started:
        if process.poll() is None:
            process.kill()
        process.communicate()


@pytest.fixture(scope="session")
def weights(tmp_path_factory):
    """The weights of a resnet18 with two classes."""
    import torch
    from torchvision import models

    path = tmp_path_factory.mktemp("weights") / "resnet18.pt"
    torch.save(models.resnet18(weights=None, num_classes=2).state_dict(), path)
    return path


@pytest.fixture
def silent_server():
    """Takes a request and never answers; yields its URL and an event that is set when one has come."""
    asked, over = threading.Event(), threading.Event()

    class Silent(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            asked.set()
            over.wait(SECONDS)

        def log_message(self, *_arguments):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Silent)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/w.pt", asked
    over.set()
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="session")
def files(tmp_path_factory):
    """One small network in every format that holds a whole model."""
    from tests.model_server import whole_models

    return whole_models.save_all(tmp_path_factory.mktemp("programs"))


@pytest.fixture
def serving_files():
    """A function that serves the folder of a file over HTTP, and returns the file's URL."""
    servers = []

    def serve(path):
        class Files(http.server.SimpleHTTPRequestHandler):
            def __init__(self, *arguments):
                super().__init__(*arguments, directory=path.parent)

            def log_message(self, *_arguments):
                pass

        servers.append(http.server.ThreadingHTTPServer(("127.0.0.1", 0), Files))
        threading.Thread(
            target=servers[-1].serve_forever, kwargs={"poll_interval": 0.02}, daemon=True
        ).start()
        return f"http://127.0.0.1:{servers[-1].server_port}/{path.name}"

    yield serve
    for server in servers:
        server.shutdown()
        server.server_close()
