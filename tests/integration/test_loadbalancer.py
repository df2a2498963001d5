"""The address controller against a real API server: who gets an address, and who keeps it."""

import json

import pytest

from localcluster import loadbalancer
from localcluster.processes import Daemon

from .conftest import eventually


@pytest.fixture
def controller(plane, tmp_path):
    objects = {"apiVersion": "v1", "kind": "List", "items": loadbalancer.objects()}
    plane.kubectl("apply", "--server-side", "-f", "-", stdin=json.dumps(objects))
    daemon = loadbalancer.daemon(plane, directory=tmp_path)
    small = tuple("--pool=198.18.192.0/29" if word.startswith("--pool=") else word for word in daemon.argv)
    daemon = Daemon(name=daemon.name, argv=small, directory=tmp_path)
    daemon.start()
    yield daemon
    daemon.stop()


@pytest.fixture
def services(plane, namespace, controller):
    class Services:
        def create(self, name, **spec):
            service = {
                "apiVersion": "v1",
                "kind": "Service",
                "metadata": {"name": name, "namespace": namespace},
                "spec": {"type": "LoadBalancer", "ports": [{"port": 80}], **spec},
            }
            plane.kubectl("create", "-f", "-", stdin=json.dumps(service))

        def delete(self, name):
            plane.kubectl("delete", "service", name, "-n", namespace)

        def addresses(self):
            items = json.loads(plane.kubectl("get", "services", "-n", namespace, "-o", "json"))["items"]
            return {
                item["metadata"]["name"]: item["status"]["loadBalancer"]["ingress"][0]["ip"]
                for item in items
                if item["status"]["loadBalancer"].get("ingress")
            }

        def with_address(self, *names):
            def found():
                return self.addresses() if set(names) <= set(self.addresses()) else None

            return eventually(found)

    assert controller.alive()
    yield Services()
    plane.kubectl("delete", "services", "--all", "-n", namespace)


def test_each_service_gets_an_address_of_its_own_and_keeps_it_over_a_restart(services, controller):
    for name in ("b", "c", "d"):
        services.create(name)
    before = services.with_address("b", "c", "d")
    assert len(set(before.values())) == 3
    controller.stop()
    services.delete("d")
    services.create("a")  # comes first when the controller starts, and must not get what others hold
    controller.start()
    after = services.with_address("a")
    assert {name: after[name] for name in ("b", "c")} == {name: before[name] for name in ("b", "c")}
    assert after["a"] not in {after["b"], after["c"]}


def test_a_service_with_a_class_and_a_plain_one_are_left_alone(services):
    services.create("classed", loadBalancerClass="example.com/other")
    services.create("plain", type="ClusterIP")
    services.create("last")
    assert set(services.with_address("last")) == {"last"}


def test_a_service_that_is_no_loadbalancer_any_more_loses_its_address(services, plane, namespace):
    services.create("a")
    services.with_address("a")
    plane.kubectl("patch", "service", "a", "-n", namespace, "-p", '{"spec":{"type":"ClusterIP"}}')
    eventually(lambda: not services.addresses())


def test_who_finds_the_pool_empty_gets_the_next_address_that_is_freed(services):
    names = [f"s{number}" for number in range(6)]  # a /29 without its first and last address
    for name in names:
        services.create(name)
    taken = services.with_address(*names)
    assert len(set(taken.values())) == 6
    services.create("late")
    services.delete("s3")
    assert services.with_address("late")["late"] == taken["s3"]
