"""A real server with a real model for the tests of the web."""

import contextlib
import io
import json
import re
import socket
import threading
import time
from dataclasses import replace
from http.client import HTTPConnection

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision import models

from catfish_server.inference.classifier import Classifier
from catfish_server.lifecycle import Lifecycle
from catfish_server.models.module import TorchModel
from catfish_server.settings import Settings
from catfish_server.telemetry.metrics import Metrics
from catfish_server.web.app import create_app
from catfish_server.web.server import Server

SETTINGS = Settings(
    location="unused.pt",
    classes=("cat", "fish"),
    host="127.0.0.1",
    port=0,
    admin_port=0,
    grpc_port=0,
    image_size=32,
    drain_seconds=0.0,
    revision="catfish-0123456789",
    threads=2,
)


@pytest.fixture(scope="session")
def module():
    torch.manual_seed(7)
    return models.resnet18(weights=None, num_classes=2).eval()


@pytest.fixture(scope="session")
def jpeg():
    rng = np.random.default_rng(7)
    buffer = io.BytesIO()
    Image.fromarray(rng.integers(0, 255, (48, 64, 3), dtype=np.uint8)).save(buffer, "JPEG")
    return buffer.getvalue()


@pytest.fixture
def classifier(module):
    made = Classifier(
        TorchModel(module),
        SETTINGS.classes,
        image_size=SETTINGS.image_size,
        mean=SETTINGS.mean,
        std=SETTINGS.std,
        unknown_threshold=None,
        threads=SETTINGS.threads,
    )
    yield made
    made.close()


@pytest.fixture
def client_of(classifier):
    """A test client of the application; settings, classifier and source may be replaced."""

    def make(*, classifies=None, source=None, **settings):
        chosen = replace(SETTINGS, **settings)
        metrics = Metrics(Lifecycle(), revision="")
        app = create_app(chosen, classifies or classifier, metrics, source=source)
        client = app.test_client()
        client.metrics = metrics
        return client

    return make


class Running:
    """A server on a thread of its own."""

    def __init__(self, classifier, **settings):
        self.lifecycle = Lifecycle()
        self.server = Server(replace(SETTINGS, **settings), self.lifecycle)
        self.server.start_admin()
        self.thread = threading.Thread(target=self.server.run, args=(classifier,))
        self.thread.start()
        self.wait_for(lambda: self.lifecycle.snapshot().ready)
        self.address = ("127.0.0.1", self.server.port)
        self.admin_address = ("127.0.0.1", self.server.admin_port)

    @staticmethod
    def wait_for(condition, seconds=15):
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, "the condition did not come true in time"
            threading.Event().wait(0.01)


@pytest.fixture
def running(classifier):
    started = []

    def start(**settings):
        started.append(Running(classifier, **settings))
        return started[-1]

    yield start
    for server in started:
        while server.thread.is_alive():
            server.server.stop()
            server.thread.join(timeout=1)


def _problem(response, status):
    """The problem of a response, after checking what all of them have in common."""
    assert response.status_code == status
    assert response.content_type == "application/problem+json"
    document = response.get_json(force=True)
    assert document["status"] == status
    assert document["request_id"] == response.headers["X-Request-Id"]
    assert {"type", "title", "detail"} <= document.keys()
    assert "Traceback" not in response.text
    assert not re.search(r"(/[\w-]+){2,}|\.py", document["detail"]), "it shows a path"
    return document


@pytest.fixture
def problem():
    return _problem


class Wire:
    """What clients do with sockets."""

    @staticmethod
    def connect(address):
        return socket.create_connection(address, timeout=15)

    @staticmethod
    def everything(connection):
        """All that the server sends until it closes."""
        data = b""
        while chunk := connection.recv(65536):
            data += chunk
        return data

    @staticmethod
    def exchange(address, *pieces):
        with Wire.connect(address) as connection:
            for piece in pieces:
                connection.sendall(piece)
            return Wire.everything(connection)

    @staticmethod
    def get(address, path="/", method="GET"):
        connection = HTTPConnection(*address, timeout=15)
        with contextlib.closing(connection):
            connection.request(method, path)
            response = connection.getresponse()
            return response.status, response.read()

    @staticmethod
    def one_answer(data):
        """Status and problem of the only answer in the data."""
        assert data.count(b"HTTP/1.") == 1, data
        head, body = data.split(b"\r\n\r\n", 1)
        assert b"Connection: close" in head
        assert b"Server:" not in head
        assert b"application/problem+json" in head
        document = json.loads(body)
        assert int(head.split()[1]) == document["status"]
        assert "waitress" not in data.decode().lower()
        return document["status"]


@pytest.fixture
def wire():
    return Wire
