import pytest
from waitress.adjustments import Adjustments

from catfish_server.web.parser import Parser

HOST = b"Host: a\r\n"
CHUNKED = b"POST /predict HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n"
THREE = b"POST /predict HTTP/1.1\r\n" + HOST + b"Content-Length: 3\r\n"


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
        pytest.param(b"GET http://[ HTTP/1.1\r\n" + HOST + b"\r\n", 400, id="half an address"),
        pytest.param(
            b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: " + b"9" * 5000 + b"\r\n\r\n",
            400,
            id="5,000 digits",
        ),
        pytest.param(THREE + b"Transfer-Encoding: ,\r\n\r\nabc", 400, id="no coding, a comma"),
        pytest.param(THREE + b"Transfer-Encoding:\r\n\r\nabc", 400, id="no coding"),
        pytest.param(
            b"POST /predict HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n",
            400,
            id="chunked twice",
        ),
        pytest.param(CHUNKED + b"1\r\nx\r\n" * 40_000, 400, id="chunks of one byte"),
        pytest.param(CHUNKED + b"1;" + b"x" * 20_000, 400, id="chunk's line without end"),
        pytest.param(CHUNKED + b"0\r\n" + b"x: y\r\n" * 5000, 400, id="trailer without end"),
    ],
)
def test_a_request_that_is_broken_or_ambiguous_gets_one_problem_and_the_connection_ends(
    wire, running, request_bytes, status
):
    server = running()
    assert wire.one_answer(wire.exchange(server.address, request_bytes)) == status
    assert wire.get(server.address) == (200, b'{"status":"ok"}\n')


@pytest.fixture
def parser():
    return Parser(Adjustments(max_request_body_size=10**7))


def test_of_a_chunked_body_only_a_little_is_taken_at_a_time(parser):
    """The receiver copies what is left for every chunk."""
    parser.received(CHUNKED)
    data, calls = b"40\r\n" + b"x" * 64 + b"\r\n", 0
    data = data * 4000 + b"0\r\n\r\n"
    while data:
        taken = parser.received(data)
        assert 0 < taken <= 8192
        data, calls = data[taken:], calls + 1
    assert calls > 30
    assert (parser.completed, parser.error) == (True, None)
    assert parser.get_body_stream().read() == b"x" * 64 * 4000


def test_blank_lines_before_a_request_are_skipped_all_at_once(parser):
    blank = b"\r\n" * 100_000
    assert parser.received(blank + b"GET / HTTP/1.1\r\n") == len(blank)
    assert parser.empty


def test_a_request_that_cannot_be_parsed_is_one_line_of_the_log_without_paths(wire, running, caplog):
    server = running()
    caplog.clear()
    wire.one_answer(wire.exchange(server.address, b"GET http://[ HTTP/1.1\r\n" + HOST + b"\r\n"))
    assert [record.levelname for record in caplog.records] in ([], ["INFO"])
