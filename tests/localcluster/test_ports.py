import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from localcluster import ports

GIVEN = ports.PORTS
PAIR = range(19_990, 19_992)
ASKED = f"from localcluster import ports; ports.PORTS = {PAIR}; print(*ports.free_ports(1)); input()"


@pytest.fixture(autouse=True)
def pair(monkeypatch, tmp_path):
    """Two ports are all that there are, beside those that other tests are given, and with locks of their own."""
    for name, value in {"PORTS": PAIR, "_given": [], "_locks": []}.items():
        monkeypatch.setattr(ports, name, value)
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)  # it is read anew
    yield
    for opened in ports._locks:
        os.close(opened)


def test_no_port_is_given_twice_or_while_somebody_listens_on_it():
    (held,) = ports.free_ports(1)
    (other,) = {*PAIR} - {held}
    with socket.create_server(("127.0.0.1", other)), pytest.raises(OSError, match="fewer than 1 ports"):
        ports.free_ports(1)
    assert ports.free_ports(1) == [other]
    with pytest.raises(OSError, match="fewer than 1 ports of loopback from 19990 to 19991 are free"):
        ports.free_ports(1)


def test_what_another_process_was_given_is_its_own_until_it_ends():
    with subprocess.Popen(
        [sys.executable, "-c", ASKED], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        theirs = int(other.stdout.readline())
        ours = ports.free_ports(1)
        assert {*ours, theirs} == {*PAIR}
        with pytest.raises(OSError, match="fewer"):
            ports.free_ports(1)
        other.communicate("\n", timeout=30)
    assert ports.free_ports(1) == [theirs]


@pytest.mark.skipif(sys.platform != "linux", reason="the range of ports is told by Linux's /proc")
def test_the_kernel_gives_none_of_them_to_a_connection():
    first, _ = map(int, Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split())
    assert first > GIVEN[-1]
