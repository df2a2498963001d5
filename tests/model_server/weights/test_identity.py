"""The identities of pods on EKS: the client asks an agent, or AWS STS, for keys, and S3 sees which ones it got."""

import http.client
import json
import os
import ssl
import subprocess
import threading
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

import pytest

from catfish_server import errors
from catfish_server.predictions import destination, stores
from catfish_server.predictions.sinks.objects import Objects
from tests.model_server.predictions.conftest import batch

from . import emulators, recorder

pytestmark = pytest.mark.integration

DATA = b"weights" * 1000
ROLE = "arn:aws:iam::123456789012:role/catfish"


@pytest.fixture(scope="module")
def amazon(tmp_path_factory):
    with emulators.amazon(tmp_path_factory.mktemp("amazon")) as started:
        started.put("models", "w.pt", DATA)
        yield started


@contextmanager
def serving(handler, certificate=None):
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    if certificate:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*certificate)
        server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    try:
        yield f"http{'s' * bool(certificate)}://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


class Agent(BaseHTTPRequestHandler):
    """Answers as the agent of EKS Pod Identity does, to whoever has the pod's token."""

    def do_GET(self):
        allowed = self.headers["Authorization"] == "token-of-the-pod"
        end = (datetime.now(UTC) + timedelta(hours=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
        keys = {"AccessKeyId": "of-the-agent", "SecretAccessKey": "hunter2", "Token": "of-session"}
        body = json.dumps(keys | {"Expiration": end}).encode() if allowed else b"{}"
        self.send_response(200 if allowed else 403)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_arguments):
        pass


@pytest.fixture
def pod(tmp_path, monkeypatch):
    """Sets variables as EKS does, in the process itself, where the client reads them."""

    def set_variables(**variables):
        token = tmp_path / "token"
        token.write_text(variables.pop("token", "token-of-the-pod"))
        for name, value in variables.items():
            monkeypatch.setenv(name, value.replace("TOKEN", str(token)))
        return dict(os.environ)

    return set_variables


@pytest.mark.parametrize("used_by", ["weights", "log"])
def test_the_agent_of_eks_gives_the_keys(amazon, fetched, pod, used_by):
    with serving(Agent) as agent, recorder.in_front_of(amazon.url) as between:
        env = pod(AWS_CONTAINER_CREDENTIALS_FULL_URI=agent, AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE="TOKEN")
        if used_by == "weights":
            assert fetched("s3://models/w.pt", endpoint=between.url, env=env).path.read_bytes() == DATA
        else:
            log = stores.store(destination.of_url("s3://models/log"), endpoint=between.url, env=env)
            Objects(log, prefix="log").write(batch("1"))
    assert between.seen == [("of-the-agent", "of-session")]


@pytest.mark.parametrize("missing", ["agent", "right"])
def test_an_identity_that_gives_no_keys_may_give_some_later(fetched, pod, missing):
    with serving(Agent) as agent:
        env = pod(
            AWS_CONTAINER_CREDENTIALS_FULL_URI="http://127.0.0.1:1" if missing == "agent" else agent,
            AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE="TOKEN",
            token="hunter2" if missing == "right" else "token-of-the-pod",
        )
        with pytest.raises(
            errors.WeightsUnreachable,
            match=r"^spec\.weights\.url: s3://models/w\.pt cannot be fetched: the download failed: "
            r"AWS_CONTAINER_CREDENTIALS_FULL_URI leads to no keys$",
        ):
            fetched("s3://models/w.pt", env=env)


class Sts(BaseHTTPRequestHandler):
    """Hands a call on to moto, which looks for it in the body alone; STS itself takes it in the address as well."""

    def do_POST(self):
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        upstream = http.client.HTTPConnection(self.behind, timeout=10)
        try:
            form = {"Content-Type": "application/x-www-form-urlencoded"}
            upstream.request("POST", "/", urlsplit(self.path).query, form)
            response = upstream.getresponse()
            body = response.read()
        finally:
            upstream.close()
        self.send_response(response.status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_arguments):
        pass


@pytest.fixture
def sts(amazon, tmp_path, monkeypatch):
    """The address of moto's STS behind TLS, without which the client does not speak to it."""
    words = ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=localhost", "-days", "1"]
    words += ["-addext", "subjectAltName=IP:127.0.0.1", "-addext", "basicConstraints=critical,CA:FALSE"]
    subprocess.run(
        ["openssl", *words, "-keyout", tmp_path / "key", "-out", tmp_path / "cert"],
        check=True,
        capture_output=True,
    )
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "cert"))
    handler = type("Handler", (Sts,), {"behind": urlsplit(amazon.url).netloc})
    with serving(handler, (tmp_path / "cert", tmp_path / "key")) as url:
        yield url


def test_sts_gives_keys_for_the_pods_token(amazon, sts, fetched, pod):
    env = pod(AWS_WEB_IDENTITY_TOKEN_FILE="TOKEN", AWS_ROLE_ARN=ROLE, AWS_ENDPOINT_URL_STS=sts)
    with recorder.in_front_of(amazon.url) as between:
        assert fetched("s3://models/w.pt", endpoint=between.url, env=env).path.read_bytes() == DATA
    [(key, token)] = between.seen
    assert key.startswith("ASIA")  # of a session
    assert token
