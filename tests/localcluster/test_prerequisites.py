import os

import pytest

from localcluster import prerequisites
from localcluster.errors import LocalClusterError


@pytest.fixture
def bare(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))


@pytest.mark.usefixtures("bare")
def test_what_is_missing_is_named_by_package_in_one_line():
    said = prerequisites.problem()
    assert said is not None
    assert "etcd-server" in said
    assert "apt-get install" in said
    assert "\n" not in said


@pytest.mark.usefixtures("bare")
def test_without_apt_the_installation_says_what_is_missing():
    with pytest.raises(LocalClusterError, match=r"these packages are missing:.*containerd"):
        prerequisites.install()


def test_nothing_is_installed_when_nothing_is_missing(monkeypatch):
    monkeypatch.setattr(prerequisites, "missing", list)
    said = []
    prerequisites.install(said.append)
    assert said == []


def test_only_root_installs(monkeypatch):
    monkeypatch.setattr(prerequisites, "missing", lambda: ["etcd-server"])
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(LocalClusterError, match="etcd-server"):
        prerequisites.install()
