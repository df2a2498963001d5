"""Messages of gRPC beyond the limit: told, counted and logged as REST's 413, whatever gRPC itself says of them."""

import json
import threading

import grpc
import pytest

from tests.model_server.protocol.test_remote import SERVICE, asking

INFER = f"{SERVICE}/ModelInfer"
LIMIT = 100_000


@pytest.fixture
def counted(wire):
    """A function that waits until the one call of a server is counted under a status."""

    def wait(server, status):
        line = f'catfish_requests_total{{code="{status}",path="{INFER}"}} 1.0'
        server.wait_for(lambda: line in wire.get(server.admin_address, "/metrics")[1].decode())

    return wait


@pytest.mark.parametrize("size", [2 * LIMIT, 50 * LIMIT], ids=["twice the limit", "fifty times the limit"])
@pytest.mark.parametrize("compression", ["NoCompression", "Gzip", "Deflate"])
def test_a_message_beyond_the_limit_is_counted_and_logged_as_that_of_http(
    channel, counted, capsys, size, compression
):
    opened = channel(max_body_bytes=LIMIT, access_log=True)
    sent = asking("images", "BYTES", [1], bytes_contents=[bytes(size)]).SerializeToString()
    with pytest.raises(grpc.RpcError) as caught:
        opened.unary_unary(INFER)(sent, timeout=30, compression=getattr(grpc.Compression, compression))
    assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    counted(opened.server, 413)
    opened.server.server.stop()
    opened.server.thread.join()
    (line,) = map(json.loads, capsys.readouterr().out.splitlines())
    assert (line["path"], line["status"], line["protocol"]) == (INFER, 413, "grpc")


def test_a_message_within_the_limit_once_it_is_decompressed_is_read(channel):
    sent = asking("images", "BYTES", [1], bytes_contents=[bytes(LIMIT)]).SerializeToString()
    with pytest.raises(grpc.RpcError) as caught:
        channel(max_body_bytes=LIMIT).unary_unary(INFER)(sent, timeout=30, compression=grpc.Compression.Gzip)
    assert "The bytes are none of" in caught.value.details()


@pytest.mark.parametrize("how", ["cancels", "says that there is none"])
def test_a_client_that_sends_no_message_is_not_taken_for_one_that_sent_too_much(channel, counted, how):
    opened, over = channel(max_body_bytes=LIMIT), threading.Event()

    def nothing():
        if how == "cancels":
            over.wait(30)
        yield from ()

    call = opened.stream_unary(INFER).future(nothing(), timeout=30)
    if how == "cancels":
        call.initial_metadata()  # the call is being handled
        call.cancel()
    counted(opened.server, 499)
    over.set()
