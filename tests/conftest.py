"""The options of all tests, and the fixtures of those on the cluster, which lie in two folders."""

import pytest

pytest_plugins = ["tests.cluster_fixtures"]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--golden-update", action="store_true", help="write the golden files anew")
    parser.addoption(
        "--namespaced", action="store_true", help="e2e: the operator of manifests/overlays/namespaced"
    )
