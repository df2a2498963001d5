"""Ports of loopback for servers that cannot choose one by themselves."""

import socket


def free_ports(count: int) -> list[int]:
    """Ports of loopback that nothing listens on, all different."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    try:
        return [int(listener.getsockname()[1]) for listener in sockets]
    finally:
        for listener in sockets:
            listener.close()
