"""What is left of a cluster is found by its own marks, and what is somebody else's is not."""

import shutil
import subprocess
import time
from contextlib import contextmanager
from pathlib import Path

import pytest

from localcluster import host, network, strays
from localcluster.node import Node
from localcluster.processes import Daemon

SHIM = "containerd-shim-runc-v2"


@pytest.fixture
def state(tmp_path):
    folder = tmp_path / "clusters" / "catfish"
    (folder / "nodes" / "catfish-node1").mkdir(parents=True)
    return folder


@pytest.fixture
def running(tmp_path):
    """Starts a shell under the name of another program, with words on its command line; it waits for its end."""

    @contextmanager
    def run(program, *words, output=subprocess.DEVNULL):
        path = tmp_path / "bin" / program
        path.parent.mkdir(exist_ok=True)
        if not path.exists():
            shutil.copy("/bin/sh", path)
        argv = [path, "-c", "read end", *words]
        with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=output) as process:
            try:
                yield process
            finally:
                process.kill()

    return run


def found(state):
    return host.processes_of(state, programs=strays.PROGRAMS)


def within(seconds, condition):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come true"
        time.sleep(0.02)


def test_a_shim_whose_namespace_and_containerd_are_gone_is_found_and_ended(running, state):
    socket = f"{state}/nodes/catfish-node1/containerd.sock"
    with running(SHIM, "-namespace", "k8s.io", "-id", "1a6f", "-address", socket) as shim:
        within(5, lambda: found(state) == {shim.pid})
        host.kill(lambda: found(state) if shim.poll() is None else set())
        assert shim.wait(5) == -9
        assert found(state) == set()


@pytest.mark.parametrize(
    "words",
    [
        "--config={}/nodes/n/kubelet.json",
        "--data-dir={}/plane/etcd",
        "master process nginx -p {}/store",
        "{}",
    ],
    ids=["flag", "data", "title", "word"],
)
def test_a_program_is_ours_by_the_folder_on_its_command_line(running, state, words):
    with running("kube", words.format(state)) as process:
        within(5, lambda: found(state) == {process.pid})


def test_a_program_is_ours_by_a_file_of_the_folder_that_it_has_open(running, state):
    with (state / "log").open("w") as log, running("nginx", output=log) as worker:
        within(5, lambda: found(state) == {worker.pid})


def test_a_program_that_was_replaced_on_the_disk_is_still_known(running, state, tmp_path):
    with running("versitygw", f"--sidecar={state}/store") as process:
        within(5, lambda: found(state) == {process.pid})
        (tmp_path / "bin" / "versitygw").unlink()
        assert found(state) == {process.pid}


def test_what_is_not_ours_is_left_alone(running, state):
    with (
        running("less", f"{state}/plane/etcd.log"),  # somebody reads our log
        running(SHIM, "-address", "/run/containerd/containerd.sock"),  # of the system's containerd
        running(
            "etcd", f"--data-dir={state}2/plane/etcd"
        ) as neighbour,  # a cluster whose name begins as ours
        running("kube", f"--config=/mnt{state}/kubelet.json") as below,  # a folder whose path ends as ours
        running("etcd", f"--data-dir={state}/plane") as ours,
    ):
        within(5, lambda: found(state.with_name("catfish2")) == {neighbour.pid})
        within(5, lambda: found(Path(f"/mnt{state}")) == {below.pid})
        assert found(state) == {ours.pid}


@pytest.fixture
def stopped(monkeypatch):
    """The names of the nodes that were stopped."""
    names = []
    monkeypatch.setattr(Node, "stop", lambda self: names.append(self.name))
    return names


@pytest.fixture
def node(tmp_path, state, monkeypatch):
    """A node whose network namespace has lost its name."""
    (tmp_path / "netns").mkdir()
    monkeypatch.setattr(network, "NETNS_DIRECTORY", tmp_path / "netns")
    (member,) = network.members(1)
    return Node(member=member, folder=state / "nodes" / member.name, images=tmp_path, kube=tmp_path / "kube")


def test_a_node_that_lost_its_namespace_is_stopped_with_its_pods(node, stopped, tmp_path):
    containerd = Daemon(name="containerd", argv=("sleep", "600"), directory=node.folder)
    containerd.start()
    try:
        strays.stop([node], [])
        assert stopped == ["catfish-node1"]
        (tmp_path / "netns" / "catfish").symlink_to(
            "/proc/self/ns/net"
        )  # now it has the name of where we all run
        strays.stop([node], [])
        assert stopped == ["catfish-node1"]
    finally:
        containerd.stop()


@pytest.mark.usefixtures("stopped")
def test_shims_that_a_failed_up_left_in_a_lost_namespace_are_ended(node, running, tmp_path):
    with running(SHIM, "-address", str(node.socket)) as shim:
        within(5, lambda: found(node.folder) == {shim.pid})
        (tmp_path / "netns" / "catfish").symlink_to("/proc/self/ns/net")
        strays.stop([node], [])
        assert shim.poll() is None
        (tmp_path / "netns" / "catfish").unlink()
        strays.stop([node], [])
        assert shim.wait(5) == -9
