"""The memory of a model that was replaced is free at once, not when the next request comes."""

import time
import weakref

import numpy as np

from catfish_server.inference.engine import Engine


class Model:
    def __call__(self, batch):
        return np.zeros((len(batch), 2), dtype=np.float32)


def test_a_thread_that_waits_does_not_keep_a_model_that_was_replaced():
    model = Model()
    gone = weakref.ref(model)
    engine = Engine(model, threads=3)
    image = np.zeros((1, 3, 8, 8), dtype=np.float32)
    for _ in range(20):
        engine.infer([image] * 3, timeout_seconds=10)
    engine.replace(Model())
    del model
    deadline = time.monotonic() + 10
    while gone() is not None:
        assert time.monotonic() < deadline, "it is kept"
        time.sleep(0.01)
    engine.close()
