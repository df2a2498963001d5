"""Calls over a real socket: the credentials are read anew, the deadlines hold, the gate is asked."""

import asyncio
import datetime as dt
import types
from contextlib import asynccontextmanager

import pytest
from aiohttp import web
from kubernetes.aio.config import ConfigException, incluster_config

from catfish_operator import errors
from catfish_operator.cluster import MODEL, KubernetesCluster, LeaseStore
from catfish_operator.connection import connect
from tests.operator.world import body

CAT = body()
CAT["metadata"]["resourceVersion"] = "7"


class Answers:
    """An API server that answers everything with one object, and remembers the requests."""

    def __init__(self):
        self.requests, self.pause = [], 0.0

    async def answer(self, request):
        self.requests.append((request.method, request.path, dict(request.headers)))
        await asyncio.sleep(self.pause)
        return web.json_response({"kind": "Status"})

    @asynccontextmanager
    async def served(self):
        runner = web.ServerRunner(web.Server(self.answer), shutdown_timeout=0.1)
        await runner.setup()
        try:
            site = web.TCPSite(runner, "127.0.0.1", 0)
            await site.start()
            yield runner.addresses[0][1]
        finally:
            await runner.cleanup()


@pytest.fixture
def answers():
    return Answers()


def kubeconfig(tmp_path, monkeypatch, port):
    """Writes a kubeconfig for the server and has it used."""
    path = tmp_path / "kubeconfig"
    path.write_text(f"""
apiVersion: v1
kind: Config
current-context: x
contexts: [{{name: x, context: {{cluster: x, user: x}}}}]
clusters: [{{name: x, cluster: {{server: "http://127.0.0.1:{port}"}}}}]
users: [{{name: x, user: {{}}}}]
""")
    monkeypatch.setattr("kubernetes.aio.config.kube_config.KUBE_CONFIG_DEFAULT_LOCATION", str(path))
    return {"KUBECONFIG": str(path)}


def connected(environ):
    return connect(environ, identity="replica-1", request_seconds=5, connections=2, count=lambda *_: None)


def test_the_token_of_the_service_account_is_read_again_within_a_minute(answers, tmp_path, monkeypatch):
    token, certificate = tmp_path / "token", tmp_path / "ca.crt"
    token.write_text("old")
    certificate.write_text("any")
    monkeypatch.setattr(incluster_config, "SERVICE_TOKEN_FILENAME", str(token))
    monkeypatch.setattr(incluster_config, "SERVICE_CERT_FILENAME", str(certificate))
    clock = types.SimpleNamespace(now=lambda: clock.time, time=dt.datetime(2026, 1, 1))  # noqa: DTZ001 - as the library's own
    monkeypatch.setattr(
        incluster_config, "datetime", types.SimpleNamespace(datetime=clock, timedelta=dt.timedelta)
    )

    async def scenario():
        async with answers.served() as port:
            environ = {"KUBERNETES_SERVICE_HOST": "127.0.0.1", "KUBERNETES_SERVICE_PORT": str(port)}
            for name, value in environ.items():
                monkeypatch.setenv(name, value)
            plain = incluster_config.InClusterConfigLoader._set_config

            def over_http(self, configuration):
                self.host, self.ssl_ca_cert = f"http://127.0.0.1:{port}", None
                plain(self, configuration)

            monkeypatch.setattr(incluster_config.InClusterConfigLoader, "_set_config", over_http)
            async with connected(environ) as connection:
                await connection.call("GET", "/version")
                token.write_text("new")
                clock.time += dt.timedelta(seconds=61)
                await connection.call("GET", "/version")

    asyncio.run(scenario())
    tokens = [headers["Authorization"].split()[-1] for _, _, headers in answers.requests]
    assert tokens == ["old", "new"]


def test_requests_tell_which_replica_they_come_from(answers, tmp_path, monkeypatch):
    async def scenario():
        async with (
            answers.served() as port,
            connected(kubeconfig(tmp_path, monkeypatch, port)) as connection,
        ):
            await connection.call("GET", "/version")

    asyncio.run(scenario())
    assert answers.requests[0][2]["User-Agent"] == "catfish-operator/replica-1"


def writes(cluster):
    """One call of each method that writes."""
    there = {"namespace": "default", "name": "cat"}
    manifest = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"namespace": "default", "name": "cat"},
    }
    event = {"metadata": {"namespace": "default", "name": "cat.1"}}
    return [
        lambda: cluster.apply(manifest, uid=None),
        lambda: cluster.patch_json(MODEL, **there, operations=[]),
        lambda: cluster.delete(MODEL, **there, uid="u", resource_version=None),
        lambda: cluster.patch_status(CAT, status={}),
        lambda: cluster.create_event(event),
        lambda: cluster.count_event("default", "cat.1", series={}),
    ]


def test_who_may_not_write_sends_no_write_and_reads_on(answers, tmp_path, monkeypatch):
    async def scenario():
        async with (
            answers.served() as port,
            connected(kubeconfig(tmp_path, monkeypatch, port)) as connection,
        ):
            cluster = KubernetesCluster(connection, write_seconds=lambda: 0.0)
            for write in writes(cluster):
                with pytest.raises(errors.NotLeader):
                    await write()
            await cluster.get(MODEL, namespace="default", name="cat")

    asyncio.run(scenario())
    assert [method for method, _, _ in answers.requests] == ["GET"]


def test_a_write_ends_when_the_time_to_write_is_over(answers, tmp_path, monkeypatch):
    answers.pause = 5.0

    async def scenario():
        async with (
            answers.served() as port,
            connected(kubeconfig(tmp_path, monkeypatch, port)) as connection,
        ):
            cluster = KubernetesCluster(connection, write_seconds=lambda: 0.2)
            begun = asyncio.get_running_loop().time()
            with pytest.raises(errors.Unreachable, match=r"no answer in 0\.2 s"):
                await cluster.patch_status(CAT, status={})
            return asyncio.get_running_loop().time() - begun

    assert asyncio.run(scenario()) < 3


def test_the_lease_is_made_once_and_then_replaced(answers, tmp_path, monkeypatch):
    async def scenario():
        async with (
            answers.served() as port,
            connected(kubeconfig(tmp_path, monkeypatch, port)) as connection,
        ):
            store = LeaseStore(connection, namespace="a", name="b")
            await store.write({}, version=None, within=1)
            await store.write({}, version="3", within=1)

    asyncio.run(scenario())
    leases = "/apis/coordination.k8s.io/v1/namespaces/a/leases"
    assert [request[:2] for request in answers.requests] == [("POST", leases), ("PUT", f"{leases}/b")]


@pytest.mark.parametrize(
    "content", [b"a: [", b"\xff\xfe\x00", b"- a", b"words", b"contexts: 3\ncurrent-context: x"]
)
def test_a_kubeconfig_that_is_none_is_one_line(tmp_path, monkeypatch, content):
    path = tmp_path / "kubeconfig"
    path.write_bytes(content)
    monkeypatch.setattr("kubernetes.aio.config.kube_config.KUBE_CONFIG_DEFAULT_LOCATION", str(path))

    async def opened():
        async with connected({}):
            raise AssertionError("it opened")

    with pytest.raises((errors.BadSettings, ConfigException), match=r"^[^\n]+$"):
        asyncio.run(opened())
