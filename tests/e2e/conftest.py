"""What the e2e tests share. A failing test leaves a bundle under build/e2e/: events, logs and objects."""

import re
from collections.abc import Generator, Iterator

import pytest

from demo import cluster, model
from demo.kube import Kube
from tests.asking import answering
from tests.cluster_fixtures import ROOT, STORED, a_namespace
from tests.gathering import gather

BUNDLES = ROOT / "build" / "e2e"


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
    return answering(model.url(kube, "catfish", name))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """After a failure: everything that the cluster can tell."""
    report = yield
    kube = item.config.stash.get(STORED, None)
    if report.failed and kube is not None and "e2e" in item.path.parts:
        names = getattr(item, "funcargs", {})
        folder = BUNDLES / re.sub(r"[^\w.-]+", "-", f"{item.name}-{report.when}")
        gather(kube, folder, sorted({"default", *_namespaces(names)}))
        report.sections.append(("bundle", str(folder)))
    return report


def _namespaces(names: dict[str, object]) -> list[str]:
    """Those of the test's fixtures."""
    shared, patients = names.get("shared"), names.get("patients")
    found = [names.get("namespace"), getattr(patients, "namespace", None)]
    return [str(name) for name in (*found, *(shared[:1] if isinstance(shared, tuple) else ())) if name]
