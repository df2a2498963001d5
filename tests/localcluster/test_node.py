import io
import json
import tarfile
import tomllib
from pathlib import Path

import pytest

from localcluster import network, nodeconfig, pauseimage
from localcluster.errors import LocalClusterError
from localcluster.node import Node
from localcluster.nodeconfig import Paths

PATHS = Paths(
    run=Path("/state/nodes/n"), images=Path("/state/images/n"), socket=Path("/state/nodes/n/c.sock")
)


@pytest.mark.parametrize("may_raise", [True, False], ids=["with CAP_SYS_RESOURCE", "without"])
def test_containerd_keeps_to_its_own_folders(may_raise):
    settings = tomllib.loads(nodeconfig.containerd(PATHS, may_raise_oom_priority=may_raise))
    cri = settings["plugins"]["io.containerd.grpc.v1.cri"]
    runc = cri["containerd"]["runtimes"]["runc"]["options"]
    assert settings["root"] == "/state/images/n"
    assert settings["state"] == "/state/nodes/n/containerd"
    assert runc == {"Root": "/state/nodes/n/runc", "SystemdCgroup": False}
    assert cri["netns_mounts_under_state_dir"] is True
    assert cri["restrict_oom_score_adj"] is not may_raise
    assert cri["sandbox_image"] == "localhost/catfish-pause:1"
    assert "io.containerd.internal.v1.opt" in settings["disabled_plugins"]


def test_the_pod_range_fills_the_template_of_the_network():
    text = nodeconfig.cni_template(PATHS).replace("{{.PodCIDR}}", "198.18.65.0/24")
    bridge, portmap, tuning = json.loads(text)["plugins"]
    assert bridge["ipam"]["ranges"] == [[{"subnet": "198.18.65.0/24"}]]
    assert bridge["ipam"]["dataDir"] == "/state/nodes/n/cni/addresses"
    assert bridge["bridge"] == network.POD_BRIDGE
    assert portmap["type"] == "portmap"
    assert tuning["sysctl"] == {
        "net.ipv4.neigh.eth0.ucast_solicit": "30",
        "net.ipv4.neigh.eth0.mcast_solicit": "30",
    }


def test_the_kubelet_asks_everybody_who_they_are_and_what_they_may():
    settings = json.loads(nodeconfig.kubelet(PATHS, client_ca=Path("/ca.crt"), cgroup="/catfish-node1"))
    assert settings["authentication"]["anonymous"] == {"enabled": False}
    assert settings["authentication"]["x509"] == {"clientCAFile": "/ca.crt"}
    assert settings["authorization"] == {"mode": "Webhook"}
    assert settings["cgroupRoot"] == "/catfish-node1"


def test_the_kubelet_writes_below_the_nodes_folder_alone():
    settings = json.loads(nodeconfig.kubelet(PATHS, client_ca=Path("/ca.crt"), cgroup="/n"))
    for key in ("podLogsDir", "volumePluginDir", "resolvConf"):
        assert settings[key].startswith("/state/nodes/n/"), key


def test_kube_proxy_leaves_the_machines_connection_table_alone():
    settings = json.loads(nodeconfig.kube_proxy(Path("/proxy.kubeconfig"), node="catfish-node1"))
    assert settings["conntrack"] == {
        "maxPerCore": 0,
        "tcpEstablishedTimeout": "0s",
        "tcpCloseWaitTimeout": "0s",
    }
    assert settings["iptables"] == {"masqueradeAll": True}


def test_a_path_too_long_for_a_socket_is_said_before_anything_starts(tmp_path, monkeypatch):
    monkeypatch.setattr("localcluster.cgroups.create", lambda _: None)
    folder = tmp_path / ("x" * 100)
    node = Node(member=network.members(1)[0], folder=folder, images=tmp_path, kube=tmp_path / "kube")
    with pytest.raises(LocalClusterError, match="too long for a socket: set a shorter CATFISH_CACHE"):
        node.start_containerd()


def test_the_pause_archive_holds_the_program_and_is_the_same_every_time(tmp_path):
    program = tmp_path / "pause"
    program.write_bytes(b"\x7fELF")
    first = pauseimage.pack(program, tmp_path / "a.tar").read_bytes()
    assert first == pauseimage.pack(program, tmp_path / "b.tar").read_bytes()
    with tarfile.open(tmp_path / "a.tar") as archive:
        (image,) = json.load(archive.extractfile("manifest.json"))
        assert image["RepoTags"] == ["localhost/catfish-pause:1"]
        layer = archive.extractfile("layer.tar").read()
    with tarfile.open(fileobj=io.BytesIO(layer)) as files:
        assert files.extractfile("pause").read() == b"\x7fELF"
        assert files.getmember("pause").mode == 0o755
