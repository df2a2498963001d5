"""Closing a listening socket without resetting anybody, which sockets alone cannot do.

Between the last `accept` and `close` the system may complete another handshake; closing resets it, and its
client has seen a server that was there. So new handshakes are kept from beginning first, by a filter on the
socket (socket(7), SO_ATTACH_FILTER): their SYN is dropped as if lost, the client tries again a second later,
and finds the port closed or, behind a Service, another pod.
"""

import contextlib
import ctypes
import socket
import struct

_SO_ATTACH_FILTER = 26  # asm-generic/socket.h; Python has no name for it

# Classic BPF (linux/filter.h), on the TCP header: drop what has SYN and not ACK among its flags.
_DROP_NEW = (
    (0x30, 0, 0, 13),  # load the byte of the flags
    (0x54, 0, 0, 0x12),  # keep ACK and SYN
    (0x15, 0, 1, 0x02),  # SYN alone?
    (0x06, 0, 0, 0),  # then drop
    (0x06, 0, 0, 0xFFFFFFFF),  # else take all of it
)


def begin_no_handshake(listening: socket.socket) -> None:
    """Lets handshakes that have begun finish and no others begin; does nothing where the system cannot."""
    instructions = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *line) for line in _DROP_NEW))
    program = struct.pack("HP", len(_DROP_NEW), ctypes.addressof(instructions))
    with contextlib.suppress(OSError):  # a sandboxed kernel (gVisor): the window stays open for microseconds
        listening.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, program)
