import pytest

HOST = b"Host: a\r\n"


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        pytest.param(
            b"POST /predict HTTP/1.1\r\n" + HOST + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n"
            b"0\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
            400,
            id="CL and TE",
        ),
        pytest.param(
            b"POST /predict HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n"
            b"0\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
            400,
            id="TE and CL",
        ),
        pytest.param(
            b"POST /predict HTTP/1.1\r\n" + HOST + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello!",
            400,
            id="two lengths",
        ),
        pytest.param(
            b"POST /predict HTTP/1.1\r\n" + HOST + b"Content-Length: +5\r\n\r\nhello", 400, id="signed"
        ),
        pytest.param(
            b"POST /predict HTTP/1.1\r\n" + HOST + b"Content-Length: -1\r\n\r\n", 400, id="negative"
        ),
        pytest.param(
            b"POST /predict HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
            501,
            id="gzip, chunked",
        ),
        pytest.param(
            b"POST /predict HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n",
            400,
            id="odd whitespace",
        ),
        pytest.param(
            b"POST /predict HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n",
            400,
            id="bad chunk",
        ),
        pytest.param(
            b"POST /predict HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400, id="TE in 1.0"
        ),
        pytest.param(b"GET / HTTP/1.1\r\n\r\n", 400, id="no Host"),
        pytest.param(b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400, id="two Hosts"),
        pytest.param(b"GET / HTTP/2.0\r\n" + HOST + b"\r\n", 400, id="HTTP/2.0"),
        pytest.param(b"GET /\r\n\r\n", 400, id="HTTP/0.9"),
        pytest.param(b"get / HTTP/1.1\r\n" + HOST + b"\r\n", 400, id="lower case"),
        pytest.param(b"GET / HTTP/1.1\r\n" + HOST + b"X : y\r\n\r\n", 400, id="space before colon"),
        pytest.param(b"GET / HTTP/1.1\r\n" + HOST + b"X: a\nY: b\r\n\r\n", 400, id="bare LF"),
        pytest.param(b"GET / HTTP/1.1\r\n" + HOST + b" folded\r\nX\r\n\r\n", 400, id="no colon"),
        pytest.param(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\r\n\r\n", 400, id="TLS"),
        pytest.param(
            b"GET / HTTP/1.1\r\n" + HOST + b"X: " + b"a" * 17_000 + b"\r\n\r\n", 431, id="long header"
        ),
        pytest.param(b"GET /" + b"a" * 17_000, 431, id="endless request line"),
        pytest.param(
            b"POST /predict HTTP/1.1\r\n" + HOST + b"Content-Length: 10485761\r\n\r\n", 413, id="long body"
        ),
        pytest.param(
            b"POST /predict HTTP/1.1\r\n" + HOST + b"Content-Length: 99999999999999999999\r\n"
            b"Expect: 100-continue\r\n\r\n",
            413,
            id="long body that asks first",
        ),
    ],
)
def test_a_request_that_is_broken_or_ambiguous_gets_one_problem_and_the_connection_ends(
    wire, running, request_bytes, status
):
    server = running()
    assert wire.one_answer(wire.exchange(server.address, request_bytes)) == status
    assert wire.get(server.address) == (200, b'{"status":"ok"}\n')
