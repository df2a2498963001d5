"""The settings of a node, as text: containerd, CNI, kubelet and kube-proxy. Pure; node.py writes it."""

import json
from dataclasses import dataclass
from pathlib import Path

from localcluster import addresses, network

NAMESPACE = "k8s.io"  # where containerd's CRI plugin keeps images and containers
PAUSE_IMAGE = "localhost/catfish-pause:1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Paths:
    """Where a node's files lie.

    Attributes:
        run: everything that ends with the cluster.
        images: containerd's content and snapshots; kept from one cluster to the next.
        socket: containerd's socket.
    """

    run: Path
    images: Path
    socket: Path

    @property
    def cni(self) -> Path:
        """The folder of the CNI configuration."""
        return self.run / "cni"

    @property
    def kubelet(self) -> Path:
        """The kubelet's folder: volumes of the pods."""
        return self.run / "kubelet"


def containerd(paths: Paths, *, may_raise_oom_priority: bool) -> str:
    """Returns containerd's configuration.

    Args:
        paths: the node's files.
        may_raise_oom_priority: whether this process has CAP_SYS_RESOURCE. Without it runc cannot lower
            oom_score_adj and dies with "can't get final child's PID from pipe: EOF".
    """
    return f"""\
version = 2
root = "{paths.images}"
state = "{paths.run}/containerd"
# the first makes /opt/containerd on the host; the others are snapshotters that nobody asks for
disabled_plugins = [
  "io.containerd.internal.v1.opt",
  "io.containerd.snapshotter.v1.aufs",
  "io.containerd.snapshotter.v1.btrfs",
  "io.containerd.snapshotter.v1.devmapper",
  "io.containerd.snapshotter.v1.zfs",
]
[grpc]
  address = "{paths.socket}"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{PAUSE_IMAGE}"
  restrict_oom_score_adj = {str(not may_raise_oom_priority).lower()}
  netns_mounts_under_state_dir = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "{paths.cni}/net.d"
    conf_template = "{paths.cni}/template"
  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
      Root = "{paths.run}/runc"
      SystemdCgroup = false
"""


def cni_template(paths: Paths) -> str:
    """Returns the template that containerd fills with the pod range when the kubelet has learned it.

    The range comes from node.spec.podCIDR: which node gets which is the controller-manager's choice.
    """
    bridge = {
        "type": "bridge",
        "bridge": network.POD_BRIDGE,
        "isGateway": True,
        "hairpinMode": True,
        "ipam": {
            "type": "host-local",
            "dataDir": str(paths.cni / "addresses"),
            "ranges": [[{"subnet": "{{.PodCIDR}}"}]],
            "routes": [{"dst": "0.0.0.0/0"}],
        },
    }
    patience = {
        f"net.ipv4.neigh.eth0.{kind}_solicit": str(network.SOLICITATIONS) for kind in ("ucast", "mcast")
    }
    tuning = {"type": "tuning", "sysctl": patience}
    plugins = [bridge, {"type": "portmap", "capabilities": {"portMappings": True}}, tuning]
    return json.dumps({"cniVersion": "0.4.0", "name": "catfish", "plugins": plugins}, indent=2)


def kubelet(paths: Paths, *, client_ca: Path, cgroup: str) -> str:
    """Returns the KubeletConfiguration (JSON is YAML too).

    Args:
        paths: the node's files.
        client_ca: signs the certificates of those who may call the kubelet.
        cgroup: the node's own cgroup. Kubelets that share one kill each other's pods as orphans.
    """
    settings = {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "authentication": {
            "anonymous": {"enabled": False},
            "webhook": {"enabled": True},
            "x509": {"clientCAFile": str(client_ca)},
        },
        "authorization": {"mode": "Webhook"},
        "containerRuntimeEndpoint": f"unix://{paths.socket}",
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": cgroup,
        "failCgroupV1": False,  # the local cluster runs on cgroup v1 machines too
        "failSwapOn": False,
        "enforceNodeAllocatable": [],
        "clusterDNS": [addresses.DNS],
        "clusterDomain": "cluster.local",
        "resolvConf": str(paths.run / "resolv.conf"),  # empty: no search domain of the host comes in
        "podLogsDir": str(paths.run / "logs"),
        "volumePluginDir": str(paths.run / "volumeplugins"),
        "evictionHard": {"nodefs.available": "1%", "imagefs.available": "1%", "memory.available": "100Mi"},
        "imageGCHighThresholdPercent": 100,  # images are loaded by hand: one thrown away cannot come back
        "serializeImagePulls": False,
        "shutdownGracePeriod": "0s",
        "nodeStatusUpdateFrequency": "10s",
    }
    return json.dumps(settings, indent=2)


def kube_proxy(kubeconfig: Path, *, node: str) -> str:
    """Returns the KubeProxyConfiguration (JSON is YAML too)."""
    settings = {
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "mode": "iptables",
        "clusterCIDR": addresses.PODS,
        "clientConnection": {"kubeconfig": str(kubeconfig)},
        "hostnameOverride": node,
        # Limits of the machine's connection table are the host's affair; 0 leaves them alone.
        "conntrack": {"maxPerCore": 0, "tcpEstablishedTimeout": "0s", "tcpCloseWaitTimeout": "0s"},
        # Pods of one node share a bridge: an answer would go straight to the asker, past the translation back
        # from the pod's address to the service's, unless the question seems to come from the node.
        "iptables": {"masqueradeAll": True},
    }
    return json.dumps(settings, indent=2)
