"""The first request to a model that says that it is Ready: whoever believes the status must not wait for long."""

import http.client
import time
from urllib.parse import urlsplit

from demo import model, pictures, tools
from demo.kube import Kube, wait_for

SECONDS = 5.0
"""kube-proxy may take so long to learn of an address; a model that is not Ready takes longer."""

WAITED: list[float] = []
"""Seconds until each first answer of this run."""


def answering(address: str) -> str:
    """The address, which answers within seconds."""
    began = time.monotonic()
    wait_for(f"an answer of {address}", lambda: _answers(address), seconds=SECONDS, every=0.05)
    WAITED.append(time.monotonic() - began)
    return address


def assert_serves(kube: Kube, namespace: str, name: str = "catfish") -> None:
    """The model answers soon, and knows the photograph of a cat."""
    address = answering(model.url(kube, name, namespace))
    assert model.ask(address, photograph()).body["prediction"] == "cat"


def photograph() -> bytes:
    """The photograph of a cat, a PNG."""
    return (pictures.collect(tools.cache()) / pictures.PHOTOGRAPH).read_bytes()


def _answers(address: str) -> bool:
    parts = urlsplit(address)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port or 80, timeout=1)
    try:
        connection.request("GET", "/")
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
