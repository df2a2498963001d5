import io
import os
import sys

import pytest

from demo import __main__ as demo
from demo.report import DemoFailure, Report
from localcluster.errors import LocalClusterError


class Started(Exception):
    """The first step that costs time."""


@pytest.fixture(autouse=True)
def asked(monkeypatch):
    """The providers that a cluster was asked of; nothing is started."""
    names = []

    def up(_, provider):
        names.append(provider)
        raise Started

    monkeypatch.setattr(demo.cluster, "up", up)
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(demo.build, "go", lambda: "/go")
    return names


@pytest.mark.parametrize("provider", ["auto", "local"])
def test_the_demo_takes_the_local_cluster_also_where_docker_and_kind_are(
    provider, asked, monkeypatch, tmp_path
):
    for name in ("docker", "kind"):
        (tmp_path / name).write_text("#!/bin/sh\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    with pytest.raises(Started):
        demo.run(Report(stream=io.StringIO()), provider)
    assert asked == ["local"]


@pytest.mark.parametrize("provider", ["kind", "current"])
def test_a_provider_without_a_store_is_refused_before_anything_is_built(provider, asked):
    with pytest.raises(DemoFailure, match=rf"`{provider}` does not have.*make demo CLUSTER=local"):
        demo.run(Report(stream=io.StringIO()), provider)
    assert asked == []


def test_without_root_nothing_is_built_even_where_kind_is(asked, monkeypatch, tmp_path):
    (tmp_path / "kind").touch(mode=0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(DemoFailure, match="sudo make demo"):
        demo.run(Report(stream=io.StringIO()), "auto")
    assert asked == []


def test_elsewhere_than_on_linux_it_says_so(asked, monkeypatch):
    monkeypatch.setattr(sys, "platform", "darwin")
    with pytest.raises(DemoFailure, match="needs Linux"):
        demo.run(Report(stream=io.StringIO()), "auto")
    assert asked == []


def test_without_go_it_says_so_before_anything_is_installed(asked, monkeypatch, tmp_path):
    def missing():
        raise LocalClusterError("Go is missing: install it")

    monkeypatch.setenv("CATFISH_CACHE", str(tmp_path))
    monkeypatch.setattr(demo.build, "go", missing)
    with pytest.raises(DemoFailure, match="Go is missing"):
        demo.run(Report(stream=io.StringIO()), "auto")
    assert asked == []
