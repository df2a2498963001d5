"""Addresses and names of the local cluster; what others see lies in 198.18.0.0/15, for benchmarks (RFC 2544)."""

from ipaddress import ip_network
from pathlib import Path

ALL = "198.18.0.0/15"
HOST = "198.18.0.1"
PODS = "198.18.64.0/18"
SERVICES = "198.18.128.0/18"
LOADBALANCERS = "198.18.192.0/24"
API = str(ip_network(SERVICES)[1])  # the API server's Service gets the first of them
DNS = "198.18.128.10"
NETNS = "catfish"
NETNS_DIRECTORY = Path("/run/netns")  # where `ip netns` keeps the names
STORE_HTTP_PORT = 8000
STORE_S3_PORT = 9000
STORE_S3_BEHIND = "127.198.18.1:9000"
"""Where versitygw itself listens: an address of loopback, which no packet from outside reaches."""


def node(index: int) -> str:
    """The address of the node with this number, counted from 1."""
    return f"198.18.0.{index + 1}"
