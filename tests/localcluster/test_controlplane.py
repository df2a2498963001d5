"""Failures of a control plane's start; that it works is shown by tests/integration."""

import socket

import pytest

from localcluster import build
from localcluster.controlplane import ControlPlane
from localcluster.errors import LocalClusterError
from localcluster.ports import free_ports

pytestmark = pytest.mark.integration


@pytest.fixture
def unstarted(tmp_path):
    port, etcd_port, etcd_peer_port = free_ports(3)
    plane = ControlPlane(
        directory=tmp_path,
        kube=build.kube(),
        port=port,
        etcd_port=etcd_port,
        etcd_peer_port=etcd_peer_port,
    )
    yield plane
    plane.stop()


@pytest.mark.parametrize(("field", "component"), [("port", "kube-apiserver"), ("etcd_port", "etcd")])
def test_a_component_that_finds_its_port_taken_is_named_and_quoted(unstarted, field, component):
    with (
        socket.create_server(("127.0.0.1", getattr(unstarted, field))),
        pytest.raises(LocalClusterError, match=rf"(?s){component} ended.*address already in use"),
    ):
        unstarted.start()


def test_a_second_start_brings_back_only_what_died(unstarted):
    unstarted.start()
    before = {daemon.name: daemon.pid for daemon in unstarted.daemons()}
    unstarted.apiserver.kill()
    unstarted.start()
    after = {daemon.name: daemon.pid for daemon in unstarted.daemons()}
    assert {name for name in before if before[name] != after[name]} == {"kube-apiserver"}
    assert unstarted.ready()


def test_a_stopped_control_plane_leaves_no_process(unstarted):
    unstarted.start()
    unstarted.stop()
    assert [daemon.name for daemon in unstarted.daemons() if daemon.alive()] == []
