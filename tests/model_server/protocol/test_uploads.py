"""Calls whose message does not come, by a peer of HTTP/2 alone: what is on the wire is no client library's opinion."""

import contextlib
import socket

import pytest

from catfish_server.protocol import calls

INFER = "/inference.GRPCInferenceService/ModelInfer"
HEADERS, RESET, SETTINGS, PING = 0x1, 0x3, 0x4, 0x6  # RFC 9113, section 6
END_STREAM, END_HEADERS, ACK = 0x1, 0x4, 0x1
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"


def frame(kind, flags, stream, payload=b""):
    return len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + payload


def literal(name, value):
    """A field of a header as RFC 7541, section 6.2.2, writes it without an index."""
    return b"\0" + b"".join(bytes([len(text)]) + text.encode() for text in (name, value))


class Peer:
    """A connection with one call on it, of which nothing but its header has been sent."""

    def __init__(self, port, *, timeout=None, closed=False):
        fields = {":method": "POST", ":scheme": "http", ":path": INFER, ":authority": "x", "te": "trailers"}
        fields |= {"content-type": "application/grpc"} | ({"grpc-timeout": timeout} if timeout else {})
        head = b"".join(literal(name, value) for name, value in fields.items())
        flags = END_HEADERS | (END_STREAM if closed else 0)
        self.connection = socket.create_connection(("127.0.0.1", port), timeout=20)
        self.connection.sendall(PREFACE + frame(SETTINGS, 0, 0) + frame(HEADERS, flags, 1, head))

    def frames(self):
        """Kind, flags and payload of what comes, to its end."""
        with self.connection.makefile("rb") as incoming:
            while header := incoming.read(9):
                payload = incoming.read(int.from_bytes(header[:3], "big"))
                kind, flags = header[3:5]
                if kind in {SETTINGS, PING} and not flags & ACK:
                    self.connection.sendall(frame(kind, ACK, 0, payload if kind == PING else b""))
                yield kind, flags, payload

    def status(self):
        """The `grpc-status` that the call ends with."""
        for kind, flags, payload in self.frames():
            assert kind != RESET
            if kind == HEADERS and flags & END_STREAM:
                _, _, rest = payload.partition(b"grpc-status")
                return int(rest[1 : 1 + rest[0]])
        raise AssertionError("The connection was closed.")


@pytest.fixture
def peer(channel, monkeypatch):
    """A function that makes such a call of a server, which gives a message so many seconds to come."""
    server = channel().server
    with contextlib.ExitStack() as opened:

        def make(message_seconds=30.0, **options):
            monkeypatch.setattr(calls, "MESSAGE_SECONDS", message_seconds)
            made = Peer(server.server.grpc_port, **options)
            opened.enter_context(made.connection)
            made.server = server
            return made

        yield make


@pytest.mark.parametrize(
    ("call", "status", "counted"),
    [
        # Enough to have a thread's attention on any machine: a call that is over before that is gRPC's alone.
        pytest.param({"timeout": "3S"}, 4, 499, id="its client's deadline is over: DEADLINE_EXCEEDED"),
        pytest.param(
            {"timeout": "60S", "message_seconds": 0.5},
            1,
            408,
            id="it takes longer than a message may: CANCELLED",
        ),
        pytest.param({"message_seconds": 0.5}, 1, 408, id="it has no deadline: CANCELLED"),
        pytest.param({"closed": True}, 1, 499, id="its client says that there is none: CANCELLED"),
    ],
)
def test_a_call_whose_message_does_not_come_is_told_why(peer, wire, call, status, counted):
    made = peer(**call)
    assert made.status() == status
    line = f'code="{counted}",path="{INFER}"}} 1.0'.encode()
    made.server.wait_for(lambda: line in wire.get(made.server.admin_address, "/metrics")[1])


def test_a_client_who_leaves_while_its_message_comes_is_counted_as_gone(peer, wire):
    made = peer()
    assert any(kind == HEADERS for kind, _, _ in made.frames())  # the server's: the call is on its thread
    made.connection.shutdown(socket.SHUT_RDWR)
    line = f'code="499",path="{INFER}"}} 1.0'.encode()
    made.server.wait_for(lambda: line in wire.get(made.server.admin_address, "/metrics")[1])
