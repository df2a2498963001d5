import socket
import subprocess
import sys
from pathlib import Path

import pytest

from localcluster import ports

ASKED = (
    "from localcluster import ports; ports.PORTS = range({0}, {0} + 2); print(*ports.free_ports(1)); input()"
)


@pytest.fixture
def two(monkeypatch):
    """Two free ports, which are all that there are."""
    monkeypatch.setattr(ports, "PORTS", range(29_990, 29_992))
    return {29_990, 29_991}


def test_no_port_is_given_twice_or_while_somebody_listens_on_it(two):
    (held,) = ports.free_ports(1)
    (other,) = two - {held}
    with socket.create_server(("127.0.0.1", other)), pytest.raises(OSError, match="fewer than 1 ports"):
        ports.free_ports(1)
    assert ports.free_ports(1) == [other]
    with pytest.raises(OSError, match="fewer than 1 ports of loopback from 29990 to 29991 are free"):
        ports.free_ports(1)


def test_what_another_process_was_given_is_its_own_until_it_ends(monkeypatch):
    monkeypatch.setattr(ports, "PORTS", range(29_994, 29_996))
    with subprocess.Popen(
        [sys.executable, "-c", ASKED.format(29_994)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        theirs = int(other.stdout.readline())
        ours = ports.free_ports(1)
        assert {*ours, theirs} == {29_994, 29_995}
        with pytest.raises(OSError, match="fewer"):
            ports.free_ports(1)
        other.communicate("\n", timeout=30)
    assert ports.free_ports(1) == [theirs]


@pytest.mark.skipif(sys.platform != "linux", reason="the range of ports is told by Linux's /proc")
def test_the_kernel_gives_none_of_them_to_a_connection():
    first, _ = map(int, Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split())
    assert first > ports.PORTS[-1]
