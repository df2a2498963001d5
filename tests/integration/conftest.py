"""A real etcd, kube-apiserver and kube-controller-manager for the tests of this folder, started once."""

import itertools
import json
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import pytest

from demo.kube import established
from localcluster.controlplane import ControlPlane
from tests.integration.house import RESYNC_SECONDS, House
from tests.integration.kubelet import kubelet
from tests.integration.operator_process import MANIFESTS, ROOT, Api, OperatorProcess

REPOSITORY = Path(__file__).parents[2]
CRD = REPOSITORY / "crds" / "catfishmodels.yaml"
MANAGER_FLAGS = ("--horizontal-pod-autoscaler-sync-period=2s",)  # 15 s by default
_numbers = itertools.count(1)

Kubectl = Callable[..., str]
T = TypeVar("T")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.integration)


@pytest.fixture(scope="session")
def plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    """A control plane on loopback with the CRD in it; without a node: pods stay as a test leaves them."""
    with ControlPlane.start_in(tmp_path_factory.mktemp("plane"), manager_flags=MANAGER_FLAGS) as started:
        if CRD.exists():
            establish(started)
        yield started


@pytest.fixture(scope="session")
def kubectl(plane: ControlPlane) -> Kubectl:
    """Runs kubectl as the administrator: `kubectl("get", "pods", "-n", namespace)` returns what it wrote."""
    return plane.kubectl


@pytest.fixture
def namespace(plane: ControlPlane) -> Iterator[str]:
    """A fresh namespace with its service account; its deletion begins when the test ends."""
    name = f"test-{next(_numbers)}"
    plane.kubectl("create", "namespace", name)
    eventually(lambda: plane.kubectl("get", "serviceaccount", "default", "-n", name, "--ignore-not-found"))
    yield name
    plane.kubectl("delete", "namespace", name, "--wait=false")


def establish(plane: ControlPlane) -> None:
    """Puts the CRD in and waits until it is served."""
    plane.kubectl("apply", "--server-side", "-f", str(CRD))
    eventually(lambda: established(json.loads(plane.kubectl("get", "-f", str(CRD), "-o", "json"))))


def eventually(condition: Callable[[], T], *, seconds: float = 30) -> T:
    """Returns the condition's value as soon as it is true; fails the test when the time is over."""
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < deadline, f"not within {seconds} s; the last value was {value!r}"
        time.sleep(0.05)
    return value


def audit_events(plane: ControlPlane) -> list[dict[str, Any]]:
    """What was asked of the API server so far, oldest first."""
    return [json.loads(line) for line in plane.audit_log.read_text().splitlines() if line.endswith("}")]


@pytest.fixture(scope="session")
def api(plane):
    """A client of the API server, in which the operator has its account and rights."""
    base = ROOT / "manifests" / "base"
    plane.kubectl("apply", *(f"-f={base / manifest}" for manifest in MANIFESTS))
    return Api(plane.kubeconfig)


@pytest.fixture(scope="module")
def operator(plane, api, tmp_path_factory):  # noqa: ARG001 - the rights must be there first
    process = OperatorProcess(
        plane, tmp_path_factory.mktemp("operator"), CATFISH_RESYNC_SECONDS=str(RESYNC_SECONDS)
    )
    try:
        yield process.start().wait_ready()
        assert process.running()
        assert "Traceback" not in process.text()
        process.lines()  # all JSON
    finally:
        process.stop()


@pytest.fixture
def start(plane, api, tmp_path):  # noqa: ARG001 - the rights must be there first
    """Starts operators; they are ended after the test, and none may have said a traceback."""
    started = []

    def begin(**options):
        started.append(OperatorProcess(plane, tmp_path, **options).start())
        return started[-1]

    yield begin
    for process in started:
        # pytest shows it with a test that fails
        sys.stdout.write(f"operator, exit code {process.exit_code()}:\n{process.text()[-4000:]}\n")
        process.stop()
    assert [process.text() for process in started if "Traceback" in process.text()] == []


@pytest.fixture
def house(api, operator, namespace):  # noqa: ARG001 - it runs meanwhile
    """A namespace that the operator looks after and whose pods come up."""
    with kubelet(api, namespace) as nodes:
        yield House(api, namespace, nodes)
