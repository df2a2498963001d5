"""A model that an outage of the API server must not concern: its client goes on, and it can be scaled afterwards."""

from types import TracebackType
from typing import Self

import pytest

from demo import model
from demo.kube import Kube, KubectlFailed
from demo.load import Load, Result
from tests.asking import answering

RATE = 20.0
REPLICAS = 2


class Bystander:
    """Asks a model from entering to leaving the context.

    Attributes:
        meanwhile: what the client had seen when the API server was about to be back; None: it was not told.
    """

    def __init__(self, kube: Kube, namespace: str) -> None:
        self._kube, self._namespace = kube, namespace
        self._load = Load(answering(model.url(kube, "catfish", namespace)), model.samples(), rate=RATE)
        self.meanwhile: Result | None = None

    def __enter__(self) -> Self:
        self._load.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._load.__exit__(kind, error, trace)

    def look(self) -> None:
        """To be called while the API server is away: it is, and the client sees nothing of it."""
        with pytest.raises(KubectlFailed):
            self._kube.run("get", "--raw", "/readyz", timeout=10)
        self.meanwhile = self._load.result()

    def scale_down(self) -> None:
        """To be called once the API server is back: what is asked for now is done."""
        self._kube.run("scale", "cfm/catfish", "--namespace", self._namespace, "--replicas=1")
        assert model.settled(self._kube, "catfish", self._namespace)["status"]["replicas"] == 1

    def assert_unharmed(self, *, seconds: float) -> None:
        """All requests were answered right, those during the outage of so many seconds and those afterwards."""
        assert self.meanwhile is not None, "nobody looked while the API server was away"
        assert self.meanwhile.total >= seconds * RATE / 2, self.meanwhile.sentence()
        result = self._load.result()
        assert result.total > self.meanwhile.total
        assert result.failures == {}, result.sentence()
