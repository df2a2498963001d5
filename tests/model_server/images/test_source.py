import contextlib
import http.server
import socket
import threading
import time
from ipaddress import ip_address

import pytest

from catfish_server.errors import RequestError
from catfish_server.images.source import AddressRefused, FetchFailed, ImageSource, ImageTooLarge


class Script(http.server.BaseHTTPRequestHandler):
    """Answers each path with the function of the test's table."""

    def do_GET(self):
        self.server.seen.append((self.path, self.headers.get("Host")))
        self.server.script[self.path](self)

    def log_message(self, *args):
        pass


class Site(http.server.ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def handle_error(self, request, client_address):
        pass  # a client that hangs up is part of these tests


@pytest.fixture
def site():
    server = Site(("127.0.0.1", 0), Script)
    server.script, server.seen = {}, []
    server.url = f"http://site.test:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def answer(status=200, body=b"", headers=(), declared=None):
    def write(handler):
        handler.send_response(status)
        for name, value in headers:
            handler.send_header(name, value)
        handler.send_header("Content-Length", str(len(body) if declared is None else declared))
        handler.end_headers()
        handler.wfile.write(body)

    return write


def redirect(location):
    return answer(302, headers=[("Location", location)])


def source(allow=("site.test",), names=None, **limits):
    table = {"site.test": ["127.0.0.1"], **(names or {})}

    def resolve(host, _port):
        if host not in table:
            raise socket.gaierror("no such name")
        return [ip_address(text) for text in table[host]]

    return ImageSource(allow_hosts=frozenset(allow), resolve=resolve, **limits)


def test_a_listed_host_is_fetched_from_its_private_address_by_its_name(site):
    site.script["/cat.jpg?x=1"] = answer(body=b"image")
    assert source().fetch(site.url + "/cat.jpg?x=1") == b"image"
    assert site.seen == [("/cat.jpg?x=1", f"site.test:{site.server_port}")]


def test_redirects_are_followed_to_the_third(site):
    site.script |= {"/0": redirect("/1"), "/1": redirect(site.url + "/2"), "/2": redirect("3")}
    site.script["/3"] = answer(body=b"image")
    assert source().fetch(site.url + "/0") == b"image"


def test_a_fourth_redirect_is_too_many(site):
    site.script |= {f"/{n}": redirect(f"/{n + 1}") for n in range(5)}
    with pytest.raises(FetchFailed, match="redirects more than 3 times"):
        source().fetch(site.url + "/0")
    assert len(site.seen) == 4


@pytest.mark.parametrize("location", ["http://[", "//[", "http://[x]/", "http://site.test:port/"])
def test_a_redirect_to_what_is_no_address_is_a_failure_of_the_host(site, location):
    site.script["/0"] = redirect(location)
    with pytest.raises(RequestError) as caught:
        source().fetch(site.url + "/0")
    assert (caught.value.status // 100, caught.value.field) == (4, "image_url")


@pytest.mark.parametrize(
    "location",
    [
        "http://127.0.0.1/x",
        "http://localhost/x",
        "http://[::1]/",
        "http://10.0.0.1/",
        "http://2130706433/",
        "http://0x7f.1/",
        "http://0/",
        "http://169.254.169.254/latest/meta-data/",
        "http://hidden.test/",
        "http://[::ffff:127.0.0.1]/",
        "//127.0.0.1/",
        "file:///etc/passwd",
        "http://u:p@127.0.0.1/",
        "gopher://127.0.0.1/",
        "http://site.test.evil.test/",
    ],
)
def test_a_redirect_is_checked_like_a_first_address(site, location):
    site.script["/"] = redirect(location)
    names = {host: [host.strip("[]")] for host in ("127.0.0.1", "::1", "10.0.0.1", "169.254.169.254")}
    names |= {name: ["127.0.0.1"] for name in ("localhost", "2130706433", "0x7f.1", "0", "hidden.test")}
    names |= {"::ffff:127.0.0.1": ["::ffff:127.0.0.1"], "site.test.evil.test": ["127.0.0.1"]}
    with pytest.raises(RequestError) as caught:
        source(names=names).fetch(site.url + "/")
    assert caught.value.status in {400, 422}
    assert len(site.seen) == 1


@pytest.fixture
def canary():
    """A listener on loopback; the test fails if anything connects to it."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]
        listener.setblocking(False)
        with pytest.raises(BlockingIOError):
            listener.accept()


HOSTILE_HOSTS = [
    "127.0.0.1",
    "127.1",
    "0",
    "0.0.0.0",
    "2130706433",
    "0x7f000001",
    "017700000001",
    "0177.0.0.1",
    "localhost",
    "LOCALHOST",
    "localhost.",
    "[::1]",
    "[::]",
    "[::ffff:127.0.0.1]",
    "[::ffff:7f00:1]",
    "127。0。0。1",
]


@pytest.mark.parametrize("host", HOSTILE_HOSTS)
def test_no_spelling_of_loopback_is_connected_to(canary, host, monkeypatch):
    # With the system's own resolver, on the canary's port as if it were a public one.
    monkeypatch.setattr("catfish_server.images.source._PUBLIC_PORTS", {canary})
    with pytest.raises(RequestError) as caught:
        ImageSource().fetch(f"http://{host}:{canary}/")
    assert caught.value.status in {400, 422}


@pytest.mark.usefixtures("canary")
def test_a_host_with_one_private_address_among_public_ones_is_refused():
    names = {"two.test": ["93.184.216.34", "127.0.0.1"]}
    with pytest.raises(AddressRefused):
        source(names=names).fetch("http://two.test/")


def test_a_name_is_resolved_once_so_that_a_second_answer_cannot_differ(canary, monkeypatch):
    monkeypatch.setattr("catfish_server.images.source._PUBLIC_PORTS", {canary})
    answers = iter([[ip_address("192.168.0.1")], [ip_address("127.0.0.1")]])
    asked = []

    def resolve(host, _port):
        asked.append(host)
        return next(answers)

    with pytest.raises(AddressRefused):
        ImageSource(resolve=resolve).fetch(f"http://rebind.test:{canary}/")
    assert asked == ["rebind.test"]


def test_a_connection_that_leads_elsewhere_is_refused(site, monkeypatch):
    real = socket.create_connection
    monkeypatch.setattr(socket, "create_connection", lambda _, timeout: real(site.server_address, timeout))
    with pytest.raises(AddressRefused, match="somewhere else"):
        source(names={"public.test": ["93.184.216.34"]}).fetch("http://public.test/")
    assert site.seen == []


@pytest.mark.parametrize("port", [22, 81, 6443, 8080])
def test_a_host_that_is_not_listed_is_asked_on_the_ports_of_the_web_only(port):
    with pytest.raises(AddressRefused, match="ports 80 and 443"):
        source(names={"public.test": ["93.184.216.34"]}).fetch(f"http://public.test:{port}/")


def test_a_second_address_is_tried_when_the_first_takes_no_connection(site):
    site.script["/"] = answer(body=b"image")
    names = {"site.test": ["127.0.0.2", "127.0.0.1"]}
    assert source(names=names).fetch(site.url + "/") == b"image"


def drip(handler):
    with contextlib.suppress(OSError):
        handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
        while not handler.server.stopped.wait(0.02):
            handler.wfile.write(b"x")


def drip_header(handler):
    with contextlib.suppress(OSError):
        handler.wfile.write(b"HTTP/1.1 200 OK\r\nX: ")
        while not handler.server.stopped.wait(0.02):
            handler.wfile.write(b"x")


def silence(handler):
    handler.server.stopped.wait(10)


@pytest.mark.parametrize("slow", [drip, drip_header, silence])
def test_the_seconds_count_over_all_of_it(site, slow):
    site.stopped = threading.Event()
    site.script["/"] = slow
    began = time.monotonic()
    try:
        with pytest.raises(FetchFailed, match=r"did not arrive within 0\.3 s"):
            source(timeout_seconds=0.3).fetch(site.url + "/")
    finally:
        site.stopped.set()
    assert time.monotonic() - began < 2


def test_a_resolver_that_hangs_is_left_behind():
    released = threading.Event()

    def resolve(_host, _port):
        released.wait(10)
        return []

    with pytest.raises(FetchFailed, match="did not arrive"):
        ImageSource(resolve=resolve, timeout_seconds=0.2).fetch("http://slow.test/")
    released.set()


def chunked(body):
    def write(handler):
        handler.wfile.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        with contextlib.suppress(OSError):
            handler.wfile.write(b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body))

    return write


@pytest.mark.parametrize(
    ("reply", "error"),
    [
        pytest.param(answer(404), FetchFailed, id="not found"),
        pytest.param(answer(500), FetchFailed, id="server error"),
        pytest.param(answer(204), FetchFailed, id="no content"),
        pytest.param(answer(302), FetchFailed, id="redirect to nowhere"),
        pytest.param(answer(body=b"x" * 11), ImageTooLarge, id="too large by its length"),
        pytest.param(chunked(b"x" * 11), ImageTooLarge, id="too large without a length"),
        pytest.param(answer(body=b"x" * 5, declared=9), FetchFailed, id="cut short"),
        pytest.param(lambda handler: handler.wfile.write(b"SSH-2.0-x\r\n"), FetchFailed, id="not HTTP"),
        pytest.param(lambda _: None, FetchFailed, id="hangs up"),
    ],
)
def test_what_is_not_an_answer_with_an_image_is_an_error_of_the_request(site, reply, error):
    site.script["/"] = reply
    with pytest.raises(error) as caught:
        source(max_bytes=10).fetch(site.url + "/")
    assert caught.value.field == "image_url"
    assert 400 <= caught.value.status < 500


def test_a_name_that_does_not_resolve_is_an_error_of_the_request():
    with pytest.raises(FetchFailed, match="does not resolve"):
        source().fetch("http://nowhere.test/")


def test_a_port_that_nobody_listens_on_is_an_error_of_the_request():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(FetchFailed, match="No connection"):
        source().fetch(f"http://site.test:{port}/")


def test_a_tls_handshake_with_a_plain_server_fails_as_an_error_of_the_request(site):
    with pytest.raises(FetchFailed, match="TLS"):
        source().fetch(site.url.replace("http:", "https:"))
