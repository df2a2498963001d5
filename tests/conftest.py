"""The options of all tests: golden files written anew, and the operator confined to one namespace."""

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--golden-update", action="store_true", help="write the golden files anew")
    parser.addoption(
        "--namespaced", action="store_true", help="e2e: the operator of manifests/overlays/namespaced"
    )
