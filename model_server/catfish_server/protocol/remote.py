"""gRPC on a port of its own: its server, its health, its end.

Importing this imports grpcio, which takes a tenth of a second and some memory: only where the port is on.
"""

import threading
from concurrent.futures import ThreadPoolExecutor

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from catfish_server.protocol import calls as answering
from catfish_server.protocol.calls import SERVICE, Calls

THREADS = 16
"""Calls that are read, decoded or waited for at the same time."""

CONCURRENT = 64
"""Calls at the same time, with those that wait for a thread and those that watch the health: any beyond is
RESOURCE_EXHAUSTED at once."""

SPARE_BYTES = 64 * 1024
"""Of a message around its tensors."""

CONNECTION_SECONDS = 300
"""After which a connection is told to end itself: clients spread over new pods, and none stays for ever. It is cut once
its calls have had the time that a message and a call may take; a message that drips in holds a thread."""


class Remote:
    """The gRPC server, from its start to its end; it answers from the start, and is healthy once told so.

    Args:
        calls: the service.
        host: the address to bind to.
        port: 0 chooses a free one.
        max_body_bytes: of the tensors of a call.
        max_header_bytes: of its metadata.
        longest_seconds: that a call may take once its message is here.

    Raises:
        OSError: the port is taken.
    """

    def __init__(
        self,
        calls: Calls,
        *,
        host: str,
        port: int,
        max_body_bytes: int,
        max_header_bytes: int,
        longest_seconds: float,
    ) -> None:
        limit, grace_seconds = max_body_bytes + SPARE_BYTES, answering.MESSAGE_SECONDS + longest_seconds
        self._server = grpc.server(
            ThreadPoolExecutor(max_workers=THREADS, thread_name_prefix="grpc"),
            handlers=[calls],
            maximum_concurrent_rpcs=CONCURRENT,
            options=[
                ("grpc.max_receive_message_length", limit),
                ("grpc.max_send_message_length", -1),
                # Between the two gRPC refuses by chance.
                ("grpc.max_metadata_size", max_header_bytes),
                ("grpc.absolute_max_metadata_size", max_header_bytes),
                (
                    "grpc.max_concurrent_streams",
                    2 * CONCURRENT,
                ),  # a client with more waits instead of being told
                ("grpc.max_connection_age_ms", CONNECTION_SECONDS * 1000),
                ("grpc.max_connection_age_grace_ms", int(1000 * grace_seconds)),
                ("grpc.so_reuseport", 0),  # or a second server would take half of this one's calls
            ],
        )
        # Non-blocking: a client that watches must not hold a thread.
        self._health = health.HealthServicer(experimental_non_blocking=True)
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        reflection.enable_server_reflection(
            [SERVICE, health.SERVICE_NAME, reflection.SERVICE_NAME], self._server
        )
        self._tell(serving=False)
        self._stopped: threading.Event | None = None
        address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        try:
            self.port = self._server.add_insecure_port(address)
        except RuntimeError as error:
            raise OSError(f"CATFISH_GRPC_PORT: {port} cannot be opened; is it taken?") from error
        self._server.start()

    def ready(self) -> None:
        """Says SERVING to who asks for the health."""
        self._tell(serving=True)

    def drain(self) -> None:
        """Says NOT_SERVING from now on; calls are still answered."""
        self._health.enter_graceful_shutdown()

    def stop(self, *, grace_seconds: float) -> None:
        """Takes no more calls, and gives those in flight their time; returns at once. Later calls change nothing."""
        if self._stopped is None:
            self._stopped = self._server.stop(grace_seconds)

    @property
    def stopped(self) -> bool:
        """Whether nothing is in flight any more."""
        return self._stopped is not None and self._stopped.is_set()

    def close(self) -> None:
        """Closes the port, whatever is in flight."""
        self._server.stop(0).wait(timeout=5)

    def _tell(self, *, serving: bool) -> None:
        status = health_pb2.HealthCheckResponse
        for service in ("", SERVICE):
            self._health.set(service, status.SERVING if serving else status.NOT_SERVING)
