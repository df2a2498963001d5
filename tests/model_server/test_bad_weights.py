"""The server as a process on every kind of bad weights: its exit code, its termination message, its log."""

import http.server
import ssl
import subprocess
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from catfish_server import errors
from tests.bad_weights import KINDS, NAMED
from tests.model_server.conftest import Program
from tests.spoiled_weights import Place

pytestmark = pytest.mark.process
SECONDS = 240
AT_ONCE = 3
"""Of which some only wait."""

SLOW = "stalled download"
"""Is given up after a minute: it waits beside all others, and is asked for last."""


class Quiet(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_arguments):
        """A client that hangs up is part of the play."""


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    """A certificate and its key in one file, signed by itself."""
    folder = tmp_path_factory.mktemp("certificate")
    words = ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=localhost", "-days", "1"]
    words += ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", folder / "key", "-out", folder / "cert"]
    subprocess.run(["openssl", *words], check=True, capture_output=True)
    (folder / "both").write_bytes((folder / "key").read_bytes() + (folder / "cert").read_bytes())
    return folder / "both"


@pytest.fixture(scope="module")
def serve(certificate):
    """Starts web servers with one answer; they end with the module."""
    servers = []

    def start(answer, *, tls=False):
        methods = {"do_GET": answer, "log_message": lambda *_arguments: None}
        server = Quiet(("127.0.0.1", 0), type("Handler", (http.server.BaseHTTPRequestHandler,), methods))
        if tls:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate)
            server.socket = context.wrap_socket(server.socket, server_side=True)
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        servers.append(server)
        return f"http{'s' * tls}://127.0.0.1:{server.server_port}/w"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.fixture(scope="module")
def ends(request, weights, serve, tmp_path_factory):
    """The end of the server on each kind that this run tests: exit code, log, termination message, leftovers.

    What hashes to the digest of the spec may stay: it is for the next start.
    """

    def placed(name):
        folder = tmp_path_factory.mktemp("bad")
        for made in ("cache", "w"):
            (folder / made).mkdir()
        return folder / "cache", KINDS[name].place(Place(directory=folder / "w", good=weights, serve=serve))

    def end(cache, variables):
        ports = dict.fromkeys(("CATFISH_PORT", "CATFISH_ADMIN_PORT", "CATFISH_GRPC_PORT"), 0)
        running = Program(cache, ports | variables)
        try:
            code, log, told = running.end(SECONDS)
        finally:
            running.process.kill()
        kept = {path.name for path in cache.glob("catfish-weights-*/*")}
        return code, log, told, kept - {variables.get("CATFISH_MODEL_SHA256")}

    wanted = [item.callspec.params["kind"] for item in request.session.items if item.module is request.module
              and "kind" in getattr(getattr(item, "callspec", None), "params", {})]  # fmt: skip
    with ThreadPoolExecutor(1) as waiting, ThreadPoolExecutor(AT_ONCE) as pool:
        # Placed here, in one thread: what makes some of them sets aside warnings, which all threads share.
        yield {name: (waiting if name == SLOW else pool).submit(end, *placed(name)) for name in wanted}


@pytest.mark.parametrize("kind", sorted(KINDS, key=lambda kind: kind == SLOW))
def test_bad_weights_end_with_the_code_and_the_sentence_of_their_reason(ends, kind):
    bad = KINDS[kind]
    code, log, told, kept = ends[kind].result()
    failure = getattr(errors, bad.reason)
    assert told is not None, log
    assert (told["reason"], code, told["retriable"]) == (bad.reason, failure.exit_code, failure.retriable), (
        told
    )
    assert told["message"].startswith(f"{bad.field}: ")
    assert bad.says in told["message"]
    assert log.strip().endswith(f"catfish-server: {bad.reason}: {told['message']}")
    assert "Traceback" not in log
    assert "hunter2" not in log + told["message"]
    assert kept == set()
    assert not Path("/tmp/catfish-attack-succeeded").exists()


def test_what_people_meet_most_has_a_code_and_a_sentence_of_its_own():
    found = {name: getattr(errors, KINDS[name].reason).exit_code for name in NAMED}
    assert found == NAMED
    assert len(set(NAMED.values())) == len({KINDS[name].says for name in NAMED}) == len(NAMED)


def test_there_are_kinds_for_every_reason():
    reasons = {failure.reason for failure in errors.StartupFailure.__subclasses__()}
    assert {bad.reason for bad in KINDS.values()} == reasons
    assert len(KINDS) >= 25
