"""CoreDNS against a real API server: the cluster's names resolve, all others do not exist."""

import json
import socket
import struct

import pytest

from localcluster import build, dns
from localcluster.ports import free_ports

from .conftest import eventually

NXDOMAIN = 3


def query(port, name):
    """Returns (response code, IPv4 addresses) for a name, asked over UDP as RFC 1035 has it."""
    question = b"".join(bytes([len(label)]) + label.encode() for label in name.split(".")) + b"\0"
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.settimeout(5)
        header = struct.pack(">6H", 7, 0x0100, 1, 0, 0, 0)
        client.sendto(header + question + struct.pack(">2H", 1, 1), ("127.0.0.1", port))
        answer = client.recv(4096)
    _, flags, _, count, _, _ = struct.unpack(">6H", answer[:12])
    rest, found = answer[12 + len(question) + 4 :], []
    for _ in range(count):
        name_length = 2 if rest[0] >= 0xC0 else rest.index(b"\0") + 1
        kind, _, _, length = struct.unpack(">2HIH", rest[name_length : name_length + 10])
        data = rest[name_length + 10 : name_length + 10 + length]
        found += [socket.inet_ntoa(data)] if kind == 1 else []
        rest = rest[name_length + 10 + length :]
    return flags & 0xF, found


@pytest.fixture(scope="module")
def port(plane, tmp_path_factory):
    folder = tmp_path_factory.mktemp("dns")
    objects = {"apiVersion": "v1", "kind": "List", "items": dns.objects("198.18.0.2")}
    plane.kubectl("apply", "--server-side", "-f", "-", stdin=json.dumps(objects))
    port, ready_port = free_ports(2)
    daemon = dns.daemon(plane, coredns=build.coredns(), directory=folder)
    settings = dns.corefile(
        address="127.0.0.1", kubeconfig=plane.kubeconfig_for(dns.USER), port=port, ready_port=ready_port
    )
    (folder / "Corefile").write_text(settings)
    daemon.start()
    eventually(lambda: answers(port))
    yield port
    daemon.stop()


def answers(port):
    try:
        return query(port, "kubernetes.default.svc.cluster.local")[1]
    except OSError:
        return None


def test_services_resolve_and_a_new_one_at_once(plane, namespace, port):
    assert query(port, "kube-dns.kube-system.svc.cluster.local") == (0, ["198.18.128.10"])
    plane.kubectl("create", "service", "clusterip", "web", "--tcp=80", "-n", namespace)
    address = plane.kubectl("get", "service", "web", "-n", namespace, "-o", "jsonpath={.spec.clusterIP}")
    eventually(lambda: query(port, f"web.{namespace}.svc.cluster.local") == (0, [address]))


@pytest.mark.parametrize("name", ["none.default.svc.cluster.local", "example.com", "localhost.localdomain"])
def test_a_name_that_is_not_the_clusters_does_not_exist(port, name):
    assert query(port, name) == (NXDOMAIN, [])
