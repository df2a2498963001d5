"""The whole local cluster with both images, real weights and the operator, made by the demo's own functions.

A plugin of pytest that tests/conftest.py names: the fixtures are those of tests/e2e and tests/faults, and a run sets
the cluster up once. What runs already is used and left; what was not there is taken down at the end.
"""

import os
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest

from demo import cluster, model, weights
from demo.kube import Json, Kube
from demo.report import Report
from tests import asking
from tests.e2e import namespaced

ROOT = Path(__file__).resolve().parents[1]
RESTRICTED = {"pod-security.kubernetes.io/enforce": "restricted"}
STORED: pytest.StashKey[Kube] = pytest.StashKey()
STARTED: pytest.StashKey[datetime] = pytest.StashKey()
"""When this run began with the operator."""
LAST = tuple(
    ROOT / "tests" / name for name in ("faults/test_drain.py", "e2e/test_rights.py", "e2e/test_cluster.py")
)
"""The test that adds a node, for all others are timed on one; the one that looks back at all before it; those that take
the cluster down."""


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Puts last what must come last, and leaves out what the operator's installation leaves no room for."""
    items.sort(key=lambda item: LAST.index(item.path) + 1 if item.path in LAST else 0)
    if not config.getoption("namespaced"):
        left_out = [item for item in items if item.get_closest_marker("confined")]
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]
        return
    for item in items:
        for marker in item.iter_markers("cluster_wide"):
            item.add_marker(pytest.mark.skip(reason=f"--namespaced: {marker.kwargs['reason']}"))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """How soon models answered that said they were Ready."""
    if asking.WAITED:
        most = f"{max(asking.WAITED):.2f} s at most, {len(asking.WAITED)} times"
        terminalreporter.write_line(f"first answer of a model after it was Ready: {most}")


@pytest.fixture(scope="session")
def installation(pytestconfig: pytest.Config) -> cluster.Installation:
    """How the operator is installed."""
    return cluster.NAMESPACED if pytestconfig.getoption("namespaced") else cluster.CLUSTER_WIDE


@pytest.fixture(scope="session")
def kube(pytestconfig: pytest.Config, installation: cluster.Installation) -> Iterator[Kube]:
    """The cluster with images, weights and operator."""
    if os.geteuid() != 0:
        pytest.skip("the local cluster needs root")
    os.chdir(ROOT)
    ran_before = cluster.running() is not None
    report = Report(stream=sys.__stdout__ or sys.stdout)
    made = cluster.up(report, "local")
    try:
        weights.provide(report, made)
        pytestconfig.stash[STARTED] = datetime.now(UTC)
        pytestconfig.stash[STORED] = made
        if installation == cluster.NAMESPACED:
            namespaced.install(report, made, RESTRICTED)
        else:
            cluster.install_operator(report, made)
        yield made
    finally:
        if not ran_before:
            subprocess.run([sys.executable, "-m", "localcluster", "down"], cwd=ROOT, check=True, timeout=300)
        elif installation == cluster.NAMESPACED and cluster.running() is not None:
            namespaced.remove(report, made)


@contextmanager
def a_namespace(kube: Kube, installation: cluster.Installation, name: str) -> Iterator[str]:
    """A namespace that accepts restricted pods alone, empty, and that the operator looks after."""
    if installation == cluster.NAMESPACED:
        try:
            yield installation.namespace
        finally:
            namespaced.empty(kube)
        return
    with one_of_many(kube, installation, name):
        yield name


@contextmanager
def one_of_many(kube: Kube, installation: cluster.Installation, name: str) -> Iterator[str]:
    """The same beside others: an operator that has rights in one namespace only is installed once more in this one."""
    looked_after(kube, installation, name)
    try:
        yield name
    finally:
        kube.run("delete", "namespace", name, "--wait=false")


def looked_after(kube: Kube, installation: cluster.Installation, name: str) -> str:
    """Makes a namespace that accepts restricted pods alone; returns the one of the operator that looks after it."""
    if installation == cluster.NAMESPACED:
        namespaced.another(kube, name, RESTRICTED)
        return name
    kube.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": RESTRICTED}})
    return installation.namespace


@pytest.fixture
def namespace(kube: Kube, installation: cluster.Installation) -> Iterator[str]:
    """A namespace for the test alone; all that is in it goes."""
    with a_namespace(kube, installation, f"e2e-{uuid.uuid4().hex[:8]}") as name:
        yield name


Apply = Callable[..., Json]
QUICK = {"minReadySeconds": 1, "canary": {"seconds": 5}, "bakeSeconds": 2}
"""At 60 requests a second more than a hundred to each side: enough for the comparison to be made."""


@pytest.fixture
def applied(kube: Kube, namespace: str) -> Apply:
    """Applies a model of the demo's kind to the test's namespace and waits until it is settled.

    It is soon proven and its updates are held for seconds: what the hold is for, tests/faults and the demo show.
    """

    def apply(name: str = "catfish", **spec: object) -> Json:
        kube.apply(model.manifest(name, namespace, **({"rollout": QUICK} | spec)))
        return model.settled(kube, name, namespace)

    return apply
