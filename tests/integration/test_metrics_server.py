"""metrics-server against a real API server: it starts with the rights and the certificate that it is given."""

import json
import ssl
import urllib.request
from dataclasses import replace

import pytest

from localcluster import build, metricsserver
from localcluster.ports import free_ports

from .conftest import eventually

pytestmark = pytest.mark.integration
PROGRAM = build.cache() / "bin" / f"metrics-server-{build.METRICS_SERVER}" / "metrics-server"


@pytest.fixture
def port(plane, tmp_path):
    """A metrics-server with its rights; its Service is left out, for there is no network to reach it by."""
    if not PROGRAM.exists():
        pytest.skip("metrics-server was never built here: `python3 -m localcluster add metrics-server`")
    objects = [each for each in metricsserver.objects(plane) if each["kind"].startswith("ClusterRole")]
    wanted = json.dumps({"apiVersion": "v1", "kind": "List", "items": objects})
    plane.kubectl("apply", "--server-side", "-f", "-", stdin=wanted)
    (chosen,) = free_ports(1)
    daemon = metricsserver.daemon(plane, program=PROGRAM, directory=tmp_path)
    flags = [f"--secure-port={chosen}" if flag.startswith("--secure-port=") else flag for flag in daemon.argv]
    daemon = replace(daemon, argv=tuple(flags))
    daemon.start()
    yield chosen

    daemon.stop()


def test_it_starts_and_serves_under_the_name_of_its_service(plane, port):
    context = ssl.create_default_context(cafile=str(plane.authority.certificate))
    opener = urllib.request.build_opener(
        urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context)
    )

    def alive():
        try:
            with opener.open(f"https://{plane.address}:{port}/livez", timeout=5) as reply:
                return reply.read() == b"ok"
        except OSError:
            return False

    eventually(alive)
