"""The real server with a real model, as for the web, and a gRPC channel to it."""

import grpc
import numpy as np
import pytest

from localcluster.ports import free_ports
from tests.model_server.web.conftest import (  # noqa: F401 (fixtures)
    classifier,
    client_of,
    jpeg,
    module,
    problem,
    running,
    wire,
)


@pytest.fixture
def pixels():
    return np.random.default_rng(3).normal(size=(2, 3, 32, 32)).astype(np.float32)


@pytest.fixture
def channel(running):  # noqa: F811
    """A function that starts a server with gRPC on, and gives a channel to it."""
    opened = []

    def start(**settings):
        (port,) = free_ports(1)
        server = running(grpc_port=port, **settings)
        opened.append(grpc.insecure_channel(f"127.0.0.1:{port}", options=[("grpc.enable_retries", 0)]))
        opened[-1].server = server
        return opened[-1]

    yield start
    for one in opened:
        one.close()
