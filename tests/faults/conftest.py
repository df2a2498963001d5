"""What the tests of faults share on the cluster; what one leaves when it fails lies in build/faults/."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from demo.kube import Kube
from demo.report import Report
from tests.cluster_fixtures import ROOT
from tests.faults import world
from tests.gathering import gather

BUNDLES = ROOT / "build" / "faults"


@pytest.fixture(scope="session")
def broken_world(kube: Kube) -> Kube:
    """The cluster with the faulty image and store, and spoiled weights."""
    world.provide(kube, Report())
    return kube


@pytest.fixture(scope="session")
def bundle(kube: Kube) -> Callable[[str], None]:
    """Keeps events, objects and logs of a namespace that is about to go."""

    def keep(namespace: str) -> None:
        gather(kube, BUNDLES / namespace, [namespace])

    return keep


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    """After a failure of a test with a namespace of its own: everything that the cluster can tell."""
    report = yield
    names = getattr(item, "funcargs", {})
    if report.failed and Path(__file__).parent in item.path.parents and {"kube", "namespace"} <= names.keys():
        gather(names["kube"], BUNDLES / item.name, [names["namespace"]])
    return report
