import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from localcluster import prerequisites
from localcluster.errors import LocalClusterError

INSTALL = """
import sys
from pathlib import Path
from localcluster import __main__, prerequisites
prerequisites.POLICY = Path(sys.argv[1])
prerequisites.missing = lambda: ["etcd-server"]
prerequisites.os.geteuid = lambda: 0
sys.exit(__main__.main(["prerequisites"]))
"""


@pytest.fixture
def policy(monkeypatch, tmp_path):
    """Where invoke-rc.d would look for a policy."""
    monkeypatch.setenv("CATFISH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(prerequisites, "POLICY", tmp_path / "policy-rc.d")
    return tmp_path / "policy-rc.d"


@pytest.fixture
def installing(policy, tmp_path):
    """An installation whose apt-get has begun, and ends when the file `go-on` is there."""
    apt = tmp_path / "bin" / "apt-get"
    apt.parent.mkdir()
    apt.write_text(
        f"#!/bin/sh\ncd {tmp_path}; touch begun; until [ -e go-on ]; do sleep 0.05; done; touch done\n"
    )
    apt.chmod(0o755)
    environment = {**os.environ, "PATH": f"{apt.parent}:{os.environ['PATH']}"}
    command = [sys.executable, "-c", INSTALL, policy]
    with subprocess.Popen(command, env=environment, cwd=Path(__file__).parents[2]) as process:
        within(30, (tmp_path / "begun").exists)
        yield process
        (tmp_path / "go-on").touch()
        process.kill()
    within(30, (tmp_path / "done").exists)


def within(seconds, condition):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come true"
        time.sleep(0.02)


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


@pytest.mark.usefixtures("bare")
def test_a_header_stands_for_its_package_where_the_file_is(tmp_path):
    header = tmp_path / "it.h"
    with pytest.raises(LocalClusterError, match="these packages are missing: libit-dev"):
        prerequisites.require({str(header): "libit-dev"})
    header.touch()
    prerequisites.require({str(header): "libit-dev"})


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


def test_no_service_is_started_by_an_installation_that_is_told_to_stop(installing, policy, tmp_path):
    assert policy.exists()
    installing.send_signal(signal.SIGTERM)
    with pytest.raises(subprocess.TimeoutExpired):  # dpkg is at work: the policy is still needed
        installing.wait(0.5)
    assert policy.exists()
    (tmp_path / "go-on").touch()
    assert installing.wait(30) == 128 + signal.SIGTERM
    assert not policy.exists()


def test_the_policy_of_a_killed_installation_is_removed_by_the_next_command(installing, policy):
    installing.kill()
    installing.wait(30)
    assert policy.exists()
    prerequisites.tidy()
    assert not policy.exists()


def test_a_policy_of_the_machine_is_kept(policy):
    policy.write_text("#!/bin/sh\nexit 101\n")
    prerequisites.tidy()
    with prerequisites._nothing_started():
        assert policy.read_text() == "#!/bin/sh\nexit 101\n"
    assert policy.exists()


def test_a_policy_that_an_installation_needs_now_is_not_removed(policy):
    with prerequisites._one_at_a_time(), prerequisites._nothing_started():
        script = INSTALL.replace(
            '__main__.main(["prerequisites"])', "[print('asks', flush=True), prerequisites.tidy()]"
        )
        command = [sys.executable, "-c", script, policy]
        with subprocess.Popen(command, cwd=Path(__file__).parents[2], stdout=subprocess.PIPE) as other:
            assert other.stdout.readline() == b"asks\n"
            with pytest.raises(subprocess.TimeoutExpired):
                other.wait(0.5)
            assert policy.exists()
            other.kill()
