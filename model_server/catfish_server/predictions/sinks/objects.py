"""Batches as objects of a store: compressed lines of JSON, named by time, pod and number."""

import gzip
import re
import socket
import uuid
from datetime import UTC, datetime

import obstore

from catfish_server.predictions import stores
from catfish_server.predictions.buffer import Limits
from catfish_server.predictions.sinks.sink import Batch, Unavailable
from catfish_server.predictions.stores import ObjectStore


class Objects:
    """Puts one object a batch. A try that was cut off is repeated under the same name, so nothing is there twice.

    Args:
        store: the bucket.
        prefix: of the objects' names.
        pod: names the writer; default: the host's name, which in a cluster is the pod's.
    """

    limits = Limits(records=5000, size=4 << 20, linger_seconds=10.0)

    def __init__(self, store: ObjectStore, *, prefix: str, pod: str | None = None) -> None:
        self._store = store
        self._prefix = f"{prefix}/" if prefix else ""
        host = re.sub(r"[^A-Za-z0-9.-]", "-", pod or socket.gethostname())[:100]
        self._writer = f"{host}-{uuid.uuid4().hex[:8]}"  # a restarted container has the same host name

    def name(self, batch: Batch) -> str:
        """Of the object of a batch; the folders are partitions as Hive, Spark and DuckDB read them."""
        made = datetime.fromtimestamp(batch.time, UTC)
        folder = f"{self._prefix}date={made:%Y-%m-%d}/hour={made:%H}"
        return f"{folder}/{made:%Y%m%dT%H%M%SZ}-{self._writer}-{batch.number:08d}.jsonl.gz"

    def write(self, batch: Batch) -> int:
        """Puts the batch; see `Sink`."""
        data = gzip.compress(b"".join(line.data for line in batch.lines), compresslevel=3, mtime=0)
        try:
            obstore.put(
                self._store,
                self.name(batch),
                data,
                attributes={"Content-Type": "application/gzip"},
                use_multipart=False,
            )
        except Exception as error:
            raise Unavailable(f"the store did not take an object: {stores.refusal(error)}") from error
        return 0

    def close(self) -> None:
        """Nothing is open between batches."""
