"""The whole local cluster with both images, real weights and the operator, made by the demo's own functions.

What runs already is used and left; what was not there is taken down at the end. A failing test leaves a
bundle under build/e2e/: events, logs and objects.
"""

import os
import re
import subprocess
import sys
import threading
import uuid
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest

from demo import cluster, model, weights
from demo.kube import Json, Kube, KubectlFailed, wait_for
from demo.report import Report
from tests.e2e import namespaced

ROOT = Path(__file__).resolve().parents[2]
BUNDLES = ROOT / "build" / "e2e"
RESTRICTED = {"pod-security.kubernetes.io/enforce": "restricted"}
STORED: pytest.StashKey[Kube] = pytest.StashKey()
STARTED: pytest.StashKey[datetime] = pytest.StashKey()
"""When this run began with the operator."""
LAST = tuple(Path(__file__).with_name(name) for name in ("test_rights.py", "test_cluster.py"))


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """The test that looks back at all others comes after them, and those that take the cluster down come last."""
    items.sort(key=lambda item: LAST.index(item.path) + 1 if item.path in LAST else 0)
    for item in items if config.getoption("namespaced") else ():
        for marker in item.iter_markers("cluster_wide"):
            item.add_marker(pytest.mark.skip(reason=f"--namespaced: {marker.kwargs['reason']}"))


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
        pytestconfig.stash.setdefault(STARTED, datetime.now(UTC))
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
    kube.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": RESTRICTED}})
    try:
        yield name
    finally:
        kube.run("delete", "namespace", name, "--wait=false")


@pytest.fixture
def namespace(kube: Kube, installation: cluster.Installation) -> Iterator[str]:
    """A namespace for the test alone; all that is in it goes."""
    with a_namespace(kube, installation, f"e2e-{uuid.uuid4().hex[:8]}") as name:
        yield name


Apply = Callable[..., Json]


@pytest.fixture
def applied(kube: Kube, namespace: str) -> Apply:
    """Applies a model of the demo's kind to the test's namespace and waits until it is settled."""

    def apply(name: str = "catfish", **spec: object) -> Json:
        kube.apply(model.manifest(name, namespace, **spec))
        return model.settled(kube, name, namespace)

    return apply


@pytest.fixture(scope="module")
def shared(kube: Kube, installation: cluster.Installation) -> Iterator[tuple[str, str]]:
    """One model for all tests of a file that only ask it: its namespace and its address."""
    with a_namespace(kube, installation, "e2e-shared") as name:
        yield name, _asked(kube, name)


def _asked(kube: Kube, name: str) -> str:
    """The address of a model that answers, in this namespace."""
    prediction = {"imageURLs": {"allowHosts": ["store.catfish-store"]}, "returnProbabilities": True}
    kube.apply(model.manifest("catfish", name, prediction=prediction))
    model.settled(kube, "catfish", name)
    address = model.url(kube, "catfish", name)

    def answers() -> bool:
        try:
            return model.ask(address, path="/").status == 200
        except OSError:
            return False

    wait_for("an answer from the LoadBalancer's address", answers, seconds=30)
    return address


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """After a failure: everything that the cluster can tell."""
    report = yield
    kube = item.config.stash.get(STORED, None)
    if report.failed and kube is not None and "e2e" in item.path.parts:
        names = getattr(item, "funcargs", {})
        folder = BUNDLES / re.sub(r"[^\w.-]+", "-", f"{item.name}-{report.when}")
        gather(kube, folder, sorted({"default", names.get("namespace", "default"), *_shared(names)}))
        report.sections.append(("bundle", str(folder)))
    return report


def gather(kube: Kube, folder: Path, namespaces: list[str]) -> None:
    """Write events, objects and logs of the namespaces and of the operator to the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    operator = ("logs", "deployment/catfish-operator", "--tail=500", "--namespace")
    wanted = {
        "operator.log": (*operator, cluster.OPERATOR_NAMESPACE),
        "operator-namespaced.log": (*operator, cluster.NAMESPACED.namespace),
        "nodes.txt": ("describe", "nodes"),
    }
    kinds = (
        "cfm,deployments,replicasets,pods,services,poddisruptionbudgets,controllerrevisions,endpointslices"
    )
    for name in namespaces:
        inside = ("--namespace", name)
        wanted |= {
            f"{name}.events.txt": ("get", "events", "--sort-by=.lastTimestamp", *inside),
            f"{name}.yaml": ("get", kinds, "--output=yaml", *inside),
            f"{name}.log": (
                *(
                    "logs",
                    "--selector=app.kubernetes.io/name=catfish-model",
                    "--prefix",
                    "--tail=300",
                    *inside,
                ),
                "--max-log-requests=30",
            ),
        }
    for file, arguments in wanted.items():
        try:
            text = kube.run(*arguments, timeout=20)
        except KubectlFailed as error:
            text = str(error)
        (folder / file).write_text(text)
    (folder / "threads.txt").write_text("\n".join(thread.name for thread in threading.enumerate()))


def _shared(names: dict[str, object]) -> list[str]:
    found = names.get("shared")
    return [str(found[0])] if isinstance(found, tuple) else []
