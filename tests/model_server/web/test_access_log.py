"""The access log of a real server: a line for every request, also for those that never reached Flask."""

import json

import pytest


@pytest.fixture
def lines(running, capsys):
    """Asks a server that logs, and returns the lines that it has written when it has left."""

    def logged(ask, **settings):
        server = running(access_log=True, **settings)
        ask(server.address)
        server.server.stop()
        server.thread.join()
        return [json.loads(line) for line in capsys.readouterr().out.splitlines()]

    return logged


def request(line, body=b"", *headers):
    head = [line, b"Host: a", b"Connection: close", b"Content-Length: %d" % len(body), *headers]
    return b"\r\n".join(head) + b"\r\n\r\n" + body


def test_an_answer_is_a_line_without_query_and_body(wire, lines, jpeg):
    sent = request(
        b"POST /predict?probabilities=false HTTP/1.1", jpeg, b"Content-Type: image/jpeg", b"X-Request-Id: r-7"
    )
    (line,) = lines(lambda address: wire.exchange(address, sent))
    assert line.pop("ms") > 0
    assert line.pop("bytes_out") > 50
    assert line.pop("time").endswith("Z")
    assert line == {
        "log": "access",
        "method": "POST",
        "path": "/predict",
        "status": 200,
        "bytes_in": len(jpeg),
        "request_id": "r-7",
        "revision": "catfish-0123456789",
        "protocol": "HTTP/1.1",
    }


@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        pytest.param(b"nonsense\r\n\r\n", (None, None, 400), id="nonsense"),
        pytest.param(
            b"GET /predict HTTP/1.1\r\nHost: a\r\nX: " + b"x" * 20_000 + b"\r\n\r\n",
            (None, None, 431),
            id="header",
        ),
        pytest.param(
            b"POST /predict HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999\r\n\r\n",
            ("POST", "/predict", 413),
            id="body",
        ),
        pytest.param(
            b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
            ("GET", "/", 400),
            id="smuggling",
        ),
    ],
)
def test_what_was_refused_before_the_application_is_a_line_too(wire, lines, sent, expected):
    (line,) = lines(lambda address: wire.exchange(address, sent))
    assert (line["method"], line["path"], line["status"]) == expected
    assert line["request_id"]


def test_no_address_and_no_credential_gets_into_a_line(wire, lines):
    def ask(address):
        for target in (
            b"/predict?image_url=http://me:canary@cats.test/canary.jpg&token=canary",
            b"/http://me:canary@cats.test/canary.jpg",
            b"http://me:canary@cats.test/",
            b"/%63anary%3A",
        ):
            headers = (b"Authorization: Bearer canary", b"X-Request-Id: <canary>", b"Cookie: canary")
            wire.exchange(address, request(b"GET " + target + b" HTTP/1.1", b"", *headers))
            wire.exchange(address, request(b"CANARY " + target + b" HTTP/1.1"))

    found = lines(ask)
    assert len(found) == 8
    assert "canary" not in json.dumps(found).lower()


def test_it_is_off_unless_it_is_asked_for(wire, running, capsys):
    server = running()
    wire.get(server.address)
    server.server.stop()
    server.thread.join()
    assert capsys.readouterr().out == ""


def test_bytes_in_and_out_are_counted_with_and_without_it(wire, running, jpeg):
    server = running()
    answer = wire.exchange(
        server.address, request(b"POST /predict HTTP/1.1", jpeg, b"Content-Type: image/jpeg")
    )
    text = wire.get(server.admin_address, "/metrics")[1].decode().splitlines()
    assert f"catfish_request_bytes_total {float(len(jpeg))}" in text
    body = answer.split(b"\r\n\r\n", 1)[1]
    assert f"catfish_response_bytes_total {float(len(body))}" in text
