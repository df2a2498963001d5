"""Which addresses on the network a stranger may make this server connect to.

`ipaddress.is_global` alone is not the answer: it differs between patch releases of Python, and it calls
addresses global that carry a private IPv4 address inside (NAT64, 6to4, Teredo) or
that go to many hosts (multicast).
"""

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

# https://www.iana.org/assignments/iana-ipv4-special-registry, and what is not unicast
_REFUSED_IPV4 = tuple(
    IPv4Network(block)
    for block in (
        "0.0.0.0/8",
        "10.0.0.0/8",
        "100.64.0.0/10",  # carriers' NAT, and the pods of some clouds
        "127.0.0.0/8",
        "169.254.0.0/16",  # link-local: the metadata service of every cloud
        "172.16.0.0/12",
        "192.0.0.0/24",
        "192.0.2.0/24",
        "192.31.196.0/24",
        "192.52.193.0/24",
        "192.88.99.0/24",  # relays of 6to4
        "192.168.0.0/16",
        "192.175.48.0/24",
        "198.18.0.0/15",
        "198.51.100.0/24",
        "203.0.113.0/24",
        "224.0.0.0/4",  # multicast
        "240.0.0.0/4",  # reserved, and broadcast
    )
)

# Outside are loopback, link-local, site-local, unique local, multicast, IPv4-mapped and NAT64.
_UNICAST_IPV6 = IPv6Network("2000::/3")

# https://www.iana.org/assignments/iana-ipv6-special-registry
_REFUSED_IPV6 = tuple(
    IPv6Network(block)
    for block in (
        "2001::/23",  # protocol assignments: Teredo, ORCHID, benchmarking
        "2001:db8::/32",
        "2002::/16",  # 6to4
        "2620:4f:8000::/48",
        "3fff::/20",
    )
)


def is_public(address: IPv4Address | IPv6Address) -> bool:
    """Whether the address is plain unicast of the public internet."""
    if isinstance(address, IPv4Address):
        return address.is_global and not any(address in block for block in _REFUSED_IPV4)
    return address in _UNICAST_IPV6 and not any(address in block for block in _REFUSED_IPV6)
