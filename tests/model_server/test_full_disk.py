"""A disk that is full, really: a small one, mounted for the test, that the server keeps its downloads on."""

import contextlib
import http.server
import threading

import pytest
import torch
from torchvision import models

from catfish_server.errors import DiskFull
from tests.model_server import small_disk

pytestmark = pytest.mark.process
SIZE = 4 * 2**20


@pytest.fixture
def disk(tmp_path):
    """A folder that takes four megabytes. To be named before `program`, which is to end before it goes."""
    with small_disk.mounted(tmp_path / "disk", SIZE) as folder:
        yield folder


@pytest.fixture
def unmeasured():
    """The address of weights that are twice as large as the disk, and whose server does not say how large they are."""

    class Weights(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.end_headers()
            with contextlib.suppress(ConnectionError):
                self.wfile.write(bytes(2 * SIZE))

        def log_message(self, *_arguments):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Weights) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/w.onnx"
        server.shutdown()


def assert_no_room(running, disk, url):
    code, log, told = running.end()
    assert told == {
        "reason": "DiskFull",
        "message": f"spec.weights.url: {url} does not fit: the disk is full; give the pod more ephemeral storage",
        "retriable": True,
    }
    assert code == DiskFull.exit_code
    assert log.strip().endswith(f"catfish-server: DiskFull: {told['message']}")
    assert "Traceback" not in log
    assert [path for path in disk.rglob("*") if not path.is_dir()] == []


def test_weights_that_come_without_their_size_and_fill_the_disk_say_so(disk, program, unmeasured):
    running = program(CATFISH_MODEL_LOCATION=unmeasured, CATFISH_ARCHITECTURE="onnx", CATFISH_CACHE_DIR=disk)
    assert_no_room(running, disk, unmeasured)


def test_weights_that_fit_once_and_not_a_second_time_say_so_too(disk, program, serving_files, tmp_path):
    """What a pickle holds is written once more, by the process that reads it."""
    path = tmp_path / "w.pt"
    torch.save(models.squeezenet1_1(num_classes=2).state_dict(), path)
    assert SIZE // 2 < path.stat().st_size < SIZE
    url = serving_files(path)
    running = program(
        CATFISH_MODEL_LOCATION=url, CATFISH_ARCHITECTURE="squeezenet1_1", CATFISH_CACHE_DIR=disk
    )
    assert_no_room(running, disk, url)
