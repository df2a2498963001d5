"""Clients that leave while their image waits."""

import socket
import threading
import urllib.request

import numpy as np
import pytest

from catfish_server.inference.classifier import Classifier


class Gate:
    def __init__(self):
        self.open = threading.Event()
        self.entered = threading.Semaphore(0)
        self.images = 0

    def __call__(self, batch):
        self.images += len(batch)
        self.entered.release()
        assert self.open.wait(60)
        return np.zeros((len(batch), 2), np.float32)


@pytest.fixture
def gate():
    return Gate()


@pytest.fixture
def classifier(gate):
    """Takes the place of the usual one: its only inference thread stands at a gate."""
    options = {"image_size": 32, "mean": (0, 0, 0), "std": (1, 1, 1), "unknown_threshold": None, "threads": 1}
    made = Classifier(gate, ("cat", "fish"), **options)
    yield made
    gate.open.set()
    made.close()


def asking(address, jpeg):
    connection = socket.create_connection(address, timeout=30)
    head = f"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Type: image/jpeg\r\nContent-Length: {len(jpeg)}\r\n\r\n"
    connection.sendall(head.encode() + jpeg)
    return connection


def test_the_image_of_a_client_who_has_left_is_never_run(running, classifier, gate, jpeg):
    served, engine = running(), classifier.engine
    first = asking(served.address, jpeg)
    assert gate.entered.acquire(timeout=30)
    leaving, staying = asking(served.address, jpeg), asking(served.address, jpeg)
    served.wait_for(lambda: engine.queued() == 2)
    leaving.close()
    served.wait_for(lambda: engine.queued() == 1)
    gate.open.set()
    for connection in (first, staying):
        assert connection.recv(65536).startswith(b"HTTP/1.1 200")
        connection.close()
    assert gate.images == 2
    served.wait_for(lambda: b'code="499",path="/predict"} 1.0' in metrics(served))


def metrics(served):
    with urllib.request.urlopen("http://{}:{}/metrics".format(*served.admin_address), timeout=30) as reply:
        return reply.read()
