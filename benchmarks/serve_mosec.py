"""mosec with a process for each core, each with one thread of torch: what serves best there.

`python -m benchmarks.serve_mosec ARCHITECTURE WEIGHTS SIZE PORT BATCH PROCESSES ENGINE`, with the Python of an
environment that has mosec (`serve_peers.environment`). Its processes import this module anew, with the same arguments.
"""

import json
import os
import sys

from mosec import Server, Worker

from benchmarks.serve_peers import Eager, Prepared

MODEL = "CATFISH_BENCH_MODEL"


class Classify(Worker):
    """One process."""

    def __init__(self) -> None:
        super().__init__()
        architecture, file, size, engine = json.loads(os.environ[MODEL])
        own = engine == "eager"
        self.model = Eager(architecture, file, size) if own else Prepared(architecture, file, size, engine)
        self.model.torch.set_num_threads(1)

    def deserialize(self, data: bytes) -> object:
        """The tensor of a request."""
        return self.model.decode(data)

    def serialize(self, data: object) -> bytes:
        """The answer."""
        return json.dumps({"prediction": data}).encode()

    def forward(self, data: object) -> object:
        """The class, or those of a batch."""
        return self.model.classes(data) if isinstance(data, list) else self.model.classes([data])[0]


if __name__ == "__main__":
    name, at, pixels, number, largest, processes, engine = sys.argv[1:]
    os.environ[MODEL] = json.dumps([name, at, int(pixels), engine])
    sys.argv[1:] = ["--port", number, "--address", "127.0.0.1", "--timeout", "120000"]
    server = Server()
    server.append_worker(Classify, num=int(processes), max_batch_size=int(largest), max_wait_time=5)
    server.run()
