import socket

import pytest

from catfish_server.web import backlog


def test_a_connection_that_has_begun_is_accepted_and_a_new_one_does_not_begin():
    with socket.create_server(("127.0.0.1", 0)) as listening:
        address = listening.getsockname()
        with socket.create_connection(address, timeout=5) as begun:
            backlog.begin_no_handshake(listening)
            accepted, _ = listening.accept()
            with accepted:
                begun.sendall(b"still here")
                assert accepted.recv(100) == b"still here"
            with pytest.raises(TimeoutError):
                socket.create_connection(address, timeout=0.3)
