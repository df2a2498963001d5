import pytest

from localcluster import network


def the_machine_has(monkeypatch: pytest.MonkeyPatch, *, routes=(), links=()):
    monkeypatch.setattr(network, "_json", lambda *argv: routes if "route" in argv else links)


def test_the_first_node_shares_its_namespace_with_the_control_plane():
    first, second = network.members(2)
    assert (first.name, first.netns, first.address, first.port) == (
        "catfish-node1",
        "catfish",
        "198.18.0.2",
        "node1",
    )
    assert (second.name, second.netns, second.address, second.port) == (
        "catfish-node2",
        "catfish-node2",
        "198.18.0.3",
        "node2",
    )


def test_a_command_enters_a_namespace_without_remounting_sys():
    assert network.inside("catfish", "id", "-u") == ["nsenter", "--net=/run/netns/catfish", "id", "-u"]


@pytest.mark.parametrize(
    "destination", ["198.18.0.0/24", "198.19.255.0/24", "198.0.0.0/8", "198.18.7.7"], ids=str
)
def test_a_route_into_the_clusters_addresses_is_a_collision(monkeypatch, destination):
    the_machine_has(monkeypatch, routes=[{"dst": destination, "dev": "vpn0"}])
    (sentence,) = network.collisions()
    assert sentence == f"the route to {destination} through vpn0 overlaps 198.18.0.0/15"


@pytest.mark.parametrize("destination", ["default", "10.0.0.0/8", "198.20.0.0/16", "192.168.0.1"], ids=str)
def test_other_routes_are_no_collision(monkeypatch, destination):
    the_machine_has(monkeypatch, routes=[{"dst": destination, "dev": "eth0"}])
    assert network.collisions() == []


def test_the_clusters_own_interface_is_no_collision(monkeypatch):
    the_machine_has(
        monkeypatch,
        routes=[{"dst": "198.18.0.0/24", "dev": "catfish0"}],
        links=[{"ifname": "catfish0", "addr_info": [{"local": "198.18.0.1"}]}],
    )
    assert network.collisions() == []


def test_an_address_of_the_range_on_another_interface_is_a_collision(monkeypatch):
    the_machine_has(monkeypatch, links=[{"ifname": "eth1", "addr_info": [{"local": "198.18.3.4"}]}])
    assert network.collisions() == ["eth1 has the address 198.18.3.4, one of 198.18.0.0/15"]


def test_only_our_namespaces_are_ours(monkeypatch, tmp_path):
    for name in ("catfish", "catfish-node2", "catfish-switch", "catfishing", "cni-1234", "vpn"):
        (tmp_path / name).touch()
    monkeypatch.setattr(network, "NETNS_DIRECTORY", tmp_path)
    assert network.namespaces() == ["catfish", "catfish-node2", "catfish-switch"]
