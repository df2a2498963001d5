import hashlib
import http.client
import json
import threading
import urllib.error
import urllib.request
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from tests.faults import store

CONTENT = bytes(range(256)) * 2000


class Good(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", str(len(CONTENT)))
        self.end_headers()
        self.wfile.write(CONTENT)

    def log_message(self, *_):
        """Quiet."""


@contextmanager
def listening(server):
    server.daemon_threads = True
    server.block_on_close = False
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture(scope="module")
def faulty():
    with (
        listening(ThreadingHTTPServer(("127.0.0.1", 0), Good)) as good,
        listening(store.server(("127.0.0.1", 0), f"http://{good}")) as address,
    ):
        yield address


def status(address, path, method="GET"):
    connection = http.client.HTTPConnection(address, timeout=5)
    connection.request(method, path)
    reply = connection.getresponse()
    body = reply.read()
    connection.close()
    return reply.status, body


@pytest.mark.parametrize("code", [403, 500])
def test_it_answers_with_the_status_that_the_path_names(faulty, code):
    assert status(faulty, f"/{code}/models/catfish-v2.pt")[0] == code


def test_a_stalled_file_has_its_full_length_promised_and_only_its_beginning_sent(faulty):
    connection = http.client.HTTPConnection(faulty, timeout=1)
    connection.request("GET", "/stalled/models/catfish-v2.pt")
    reply = connection.getresponse()
    assert reply.length == len(CONTENT)
    assert reply.read(store.STALLED_BYTES) == CONTENT[: store.STALLED_BYTES]
    with pytest.raises(TimeoutError):
        reply.read(1)
    connection.close()


def test_a_slow_file_arrives_whole(faulty):
    with urllib.request.urlopen(f"http://{faulty}/slow/1000000/models/catfish-v2.pt", timeout=10) as reply:
        assert reply.read() == CONTENT


def test_its_registry_knows_no_image_and_hides_the_private_ones(faulty):
    assert status(faulty, "/v2/")[0] == 200
    found, body = status(faulty, "/v2/catfish-server/manifests/v9")
    assert (found, json.loads(body)["errors"][0]["code"]) == (404, "MANIFEST_UNKNOWN")
    assert status(faulty, "/v2/catfish-server/manifests/v9", "HEAD") == (404, b"")
    assert status(faulty, "/v2/private/x/manifests/v9")[0] == 401


def test_who_has_the_credentials_gets_the_private_image_part_by_part(faulty):
    def get(path):
        asked = urllib.request.Request(f"http://{faulty}{path}", headers={"Authorization": store.CREDENTIALS})
        with urllib.request.urlopen(asked, timeout=5) as reply:
            return reply.headers, reply.read()

    headers, body = get("/v2/private/x/manifests/v9")
    manifest = json.loads(body)
    assert headers["Docker-Content-Digest"] == f"sha256:{hashlib.sha256(body).hexdigest()}"
    assert headers["Content-Type"] == manifest["mediaType"]
    for part in (manifest["config"], *manifest["layers"]):
        _, content = get(f"/v2/private/x/blobs/{part['digest']}")
        assert (f"sha256:{hashlib.sha256(content).hexdigest()}", len(content)) == (
            part["digest"],
            part["size"],
        )


def test_another_path_is_not_there_and_the_root_is_for_the_probe(faulty):
    assert status(faulty, "/else")[0] == 404
    assert status(faulty, "/")[0] == 200
    with pytest.raises(urllib.error.HTTPError):
        urllib.request.urlopen(f"http://{faulty}/else", timeout=5)
