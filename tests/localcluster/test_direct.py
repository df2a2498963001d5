"""A machine whose proxy does not know the cluster's addresses reaches them all the same."""

import subprocess
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import ClassVar

import pytest

from demo import weights
from localcluster import build, direct


class Handler(BaseHTTPRequestHandler):
    """Answers with the status that the path names, and keeps what it is given."""

    def do_GET(self):
        body = self.server.stored.get(self.path, b"")
        self.send_response(int(self.path.rpartition("/")[2]) if self.path[-3:].isdigit() else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    asked: ClassVar[list[str]] = []

    def do_CONNECT(self):
        self.asked.append(self.path)
        self.send_error(502)

    def do_PUT(self):
        self.server.stored[self.path] = self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(201)
        self.end_headers()

    def log_message(self, *_):
        """Says nothing."""


@pytest.fixture
def url(monkeypatch):
    """A server of ours, and a proxy that is set and out of order."""
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.stored = {}
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.mark.parametrize("status", [200, 403, 503])
def test_the_status_of_an_answer_is_told_whatever_it_is(url, status):
    assert direct.status(f"{url}/{status}") == status


def test_where_nobody_answers_there_is_no_status():
    assert direct.status("http://127.0.0.1:1/") is None


def test_the_demo_reaches_the_store_past_a_proxy(url, monkeypatch):
    monkeypatch.setattr(weights, "HOST_STORE", url)
    assert weights.put("models/a.pt", b"weights") == f"{weights.CLUSTER_STORE}/models/a.pt"
    assert weights.get("models/a.pt") == b"weights"


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({"no_proxy": "a.example"}, {"no_proxy": "a.example"}),
        ({"HTTPS_PROXY": ""}, {"HTTPS_PROXY": ""}),
        (
            {"HTTPS_PROXY": "http://proxy:1"},
            {"HTTPS_PROXY": "http://proxy:1", "NO_PROXY": "198.18.0.0/15", "no_proxy": "198.18.0.0/15"},
        ),
        (
            {"http_proxy": "http://proxy:1", "NO_PROXY": "a.example"},
            {
                "http_proxy": "http://proxy:1",
                "NO_PROXY": "a.example,198.18.0.0/15",
                "no_proxy": "a.example,198.18.0.0/15",
            },
        ),
    ],
    ids=["no proxy", "an empty one", "a proxy", "a proxy with exceptions"],
)
def test_programs_of_the_cluster_are_told_which_addresses_the_proxy_does_not_know(before, after):
    assert direct.environment(before) == after


@pytest.mark.integration
def test_the_real_kubectl_goes_to_the_cluster_past_the_proxy(url, monkeypatch, tmp_path):
    monkeypatch.setenv("HTTPS_PROXY", url)
    for server in ("198.19.255.254", "192.0.2.1"):  # nobody is there
        flags = (f"--server=https://{server}:1", "--token=none", "--request-timeout=1s")
        argv = (build.kube(), "kubectl", *flags, "get", "--raw", "/readyz")
        environment = direct.environment() | {"KUBECONFIG": str(tmp_path / "none")}
        done = subprocess.run(argv, env=environment, capture_output=True, check=False)
        assert done.returncode != 0
    assert set(Handler.asked) == {"192.0.2.1:1"}
