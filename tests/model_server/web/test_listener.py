import contextlib
import itertools
import os
import resource
import select
import socket
import threading
from types import SimpleNamespace

import pytest

from catfish_server.web.limits import Limits
from catfish_server.web.listener import Listener
from tests.model_server.web.conftest import SETTINGS


@pytest.fixture
def listener():
    made = Listener(
        lambda _environ, _start: [b""],
        host="127.0.0.1",
        port=0,
        threads=1,
        limits=Limits.of(SETTINGS, connections=100),
        refused=lambda _status: None,
    )
    yield made
    made.close()


def test_the_port_is_closed_though_no_descriptor_is_left_for_what_waits(wire, listener):
    with wire.connect(("127.0.0.1", listener.port)):
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        closing = threading.Thread(target=listener.stop_accepting, daemon=True)
        lowest_free = os.dup(0)
        os.close(lowest_free)
        resource.setrlimit(resource.RLIMIT_NOFILE, (lowest_free, hard))
        try:
            closing.start()
            closing.join(timeout=10)
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        assert not closing.is_alive()


def test_a_request_has_its_time_before_a_thread_can_take_it(listener):
    listener.task_dispatcher.shutdown()
    seen = []
    listener.task_dispatcher = SimpleNamespace(
        add_task=lambda task: seen.append(task.queued_at), shutdown=lambda **_: None
    )
    listener.add_task(SimpleNamespace(queued_at=0.0))
    assert seen[0] > 0


def test_who_wakes_it_after_its_end_writes_into_nobody_elses_file(listener):
    descriptors = set(listener.trigger._fds)
    listener.close()
    with contextlib.ExitStack() as stack:
        pairs = [socket.socketpair() for _ in range(20)]
        for one in itertools.chain(*pairs):
            stack.enter_context(one)
        assert descriptors <= {one.fileno() for one in itertools.chain(*pairs)}, "they are given out anew"
        listener.wake()
        assert select.select([one for pair in pairs for one in pair], [], [], 0.2)[0] == []
