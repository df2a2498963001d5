import io
import json
import os
import shutil
from dataclasses import replace
from types import SimpleNamespace

import pytest

from localcluster import addons, cgroups, cluster, host, leftovers, preflight
from localcluster.errors import LocalClusterError
from localcluster.progress import Progress

HYBRID = """\
tmpfs /sys/fs/cgroup tmpfs rw 0 0
cgroup /sys/fs/cgroup/cpu cgroup rw,cpu 0 0
cgroup2 /sys/fs/cgroup/unified cgroup2 rw 0 0
"""
READY = {"type": "Ready", "status": "True"}


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """The fixed paths of containerd, CNI and kubelet, moved into a folder; one kernel setting."""
    root = tmp_path / "machine"
    names = {
        "CNI_RESULTS": root / "cni" / "results",
        "CONTAINER_LOGS": root / "containers",
        "DEVICE_PLUGINS": root / "kubelet" / "device-plugins",
        "NETNS": root / "netns",
        "LOCK": root / "xtables.lock",
    }
    for name, path in names.items():
        monkeypatch.setattr(host, name, path)
    monkeypatch.setattr(
        host,
        "FOLDERS",
        (
            names["CNI_RESULTS"],
            names["CNI_RESULTS"].parent,
            names["CONTAINER_LOGS"],
            names["DEVICE_PLUGINS"],
            names["DEVICE_PLUGINS"].parent,
            names["NETNS"],
        ),
    )
    setting = root / "panic"
    root.mkdir()
    setting.write_text("0\n")
    monkeypatch.setattr(host, "SYSCTLS", ("panic",))
    monkeypatch.setattr(host, "_sysctl", lambda _: setting)
    return root


def a_cluster_works_on(machine, state):
    (machine / "panic").write_text("10\n")
    for folder in ("cni/results", "containers", "kubelet/device-plugins", "netns"):
        (machine / folder).mkdir(parents=True, exist_ok=True)
    (machine / "kubelet/device-plugins/kubelet.sock").touch()
    (machine / "xtables.lock").touch()
    (machine / "containers" / "ours.log").symlink_to(state / "nodes" / "n" / "logs" / "0.log")
    (machine / "cni/results" / "ours").write_text(f'{{"sandbox": "{state}/nodes/n/netns/1"}}')


def test_what_a_cluster_does_to_the_host_is_undone(machine, tmp_path):
    state = tmp_path / "state"
    state.mkdir()
    host.remember(state / "host.json")
    a_cluster_works_on(machine, state)
    host.restore(state / "host.json", ours=state)
    assert [path.name for path in machine.iterdir()] == ["panic"]
    assert (machine / "panic").read_text() == "0\n"


def test_what_others_have_on_the_host_is_kept(machine, tmp_path):
    state = tmp_path / "state"
    state.mkdir()
    (machine / "containers").mkdir()
    host.remember(state / "host.json")
    a_cluster_works_on(machine, state)
    (machine / "cni/results" / "theirs").write_text('{"sandbox": "/run/netns/other"}')
    host.restore(state / "host.json", ours=state)
    kept = sorted(str(path.relative_to(machine)) for path in machine.rglob("*"))
    assert kept == ["cni", "cni/results", "cni/results/theirs", "containers", "panic"]


def test_the_first_note_about_the_host_is_the_one_that_counts(machine, tmp_path):
    note = tmp_path / "host.json"
    host.remember(note)
    (machine / "panic").write_text("10\n")
    host.remember(note)
    assert json.loads(note.read_text())["sysctls"] == {"panic": "0\n"}


def test_a_folder_below_which_something_is_mounted_is_not_removed():
    with pytest.raises(LocalClusterError, match="is still mounted"):
        host.remove_folder(host.Path("/proc"))


@pytest.mark.parametrize(
    ("mounts", "found"),
    [
        ("cgroup2 /sys/fs/cgroup cgroup2 rw 0 0\n", [("cgroup2", "/sys/fs/cgroup")]),
        (
            HYBRID,
            [("cgroup", "/sys/fs/cgroup/cpu"), ("cgroup2", "/sys/fs/cgroup/unified")],
        ),
        ("proc /proc proc rw 0 0\n", []),
    ],
    ids=["v2", "hybrid", "none"],
)
def test_the_cgroup_trees_are_read_off_the_mounts(mounts, found):
    assert [(kind, str(path)) for kind, path in cgroups.trees(mounts)] == found


@pytest.mark.parametrize(
    ("node", "ready"),
    [
        (None, False),
        ({"spec": {}, "status": {"conditions": [READY]}}, False),
        ({"spec": {"podCIDR": "198.18.64.0/24"}, "status": {}}, False),
        (
            {
                "spec": {"podCIDR": "198.18.64.0/24"},
                "status": {"conditions": [READY | {"status": "Unknown"}]},
            },
            False,
        ),
        ({"spec": {"podCIDR": "198.18.64.0/24"}, "status": {"conditions": [READY]}}, True),
    ],
    ids=["not there", "no pod range", "silent", "unknown", "ready"],
)
def test_a_node_is_ready_when_it_says_so_and_has_its_pod_range(node, ready):
    assert cluster._is_ready(node) is ready


@pytest.mark.parametrize(
    "note", [None, "", "{}", '{"kube": "/kube"}'], ids=["none", "torn", "empty", "of another version"]
)
def test_a_note_that_cannot_be_read_means_no_cluster(tmp_path, monkeypatch, note):
    monkeypatch.setenv("CATFISH_CACHE", str(tmp_path))
    cluster.folder().mkdir(parents=True)
    if note is not None:
        (cluster.folder() / "cluster.json").write_text(note)
    assert cluster.current() is None


@pytest.mark.parametrize("metrics", [None, "metrics-server"])
def test_a_cluster_is_found_again(tmp_path, monkeypatch, metrics):
    monkeypatch.setenv("CATFISH_CACHE", str(tmp_path))
    cluster.folder().mkdir(parents=True)
    programs = addons.Programs(
        coredns=tmp_path / "coredns",
        versitygw=tmp_path / "versitygw",
        metrics_server=metrics and tmp_path / metrics,
    )
    made = cluster.Cluster(folder=cluster.folder(), kube=tmp_path / "kube", programs=programs, size=2)
    cluster._note(made)
    assert cluster.current() == made
    assert [node.name for node in made.nodes] == ["catfish-node1", "catfish-node2"]


def test_a_full_disk_is_one_readable_line(tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=1.5e9))
    with pytest.raises(LocalClusterError, match=r"has 1\.5 GB left, the cluster needs 5"):
        preflight.check(tmp_path / "not" / "there", fresh=False)


def test_without_root_it_says_what_to_do(monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(LocalClusterError, match="needs root: run it with sudo"):
        preflight.require_root()


def test_a_foreign_kubelet_is_not_disturbed(tmp_path, monkeypatch):
    monkeypatch.setattr(preflight.build, "require_compiler", lambda **_: None)
    monkeypatch.setattr(host, "DEVICE_PLUGINS", tmp_path)
    preflight.check(tmp_path / "state", fresh=True)
    (tmp_path / "kubelet.sock").touch()
    with pytest.raises(LocalClusterError, match="another kubelet runs on this machine"):
        preflight.check(tmp_path / "state", fresh=True)


def test_addresses_that_are_taken_are_one_readable_line(monkeypatch):
    monkeypatch.setattr(preflight.network, "collisions", lambda: ["eth1 has the address 198.18.3.4"])
    with pytest.raises(LocalClusterError, match=r"^eth1 has the address .*remove it first"):
        preflight.check_addresses()


def test_without_go_nothing_is_installed(tmp_path, monkeypatch):
    """A machine without Go and with an empty cache: it is said before apt-get runs, for apt's Go would not do."""
    done = []
    monkeypatch.setenv("CATFISH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(cluster.prerequisites, "install", lambda _: done.append("installed"))
    monkeypatch.setattr(cluster.build.shutil, "which", lambda _: None)
    monkeypatch.setattr(cluster.build, "USUAL_GO", tmp_path / "go")
    with pytest.raises(LocalClusterError, match="Go is missing"):
        cluster.up(progress=Progress(stream=io.StringIO()))
    assert done == []
    assert not cluster.begun()


def test_the_difference_of_two_pictures_names_what_came_and_what_went():
    empty = leftovers.Snapshot(**{field: frozenset() for field in leftovers.Snapshot.__slots__})
    before = replace(empty, routes=frozenset({"a"}))
    after = replace(empty, routes=frozenset({"b"}), mounts=frozenset({"/x tmpfs"}))
    assert leftovers.difference(before, before) == []
    assert leftovers.difference(before, after) == ["+ routes: b", "- routes: a", "+ mounts: /x tmpfs"]
