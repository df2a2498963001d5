import fcntl
import io
import json
import os
import threading

import pytest

from catfish_server.predictions.sinks.sink import Unavailable
from catfish_server.predictions.sinks.stdout import Stdout
from catfish_server.telemetry.access import AccessLog, Entry

from .conftest import batch, until

ENTRY = Entry(
    method="GET",
    path="/predict",
    status=200,
    bytes_in=1,
    bytes_out=1,
    seconds=0.1,
    request_id="r",
    protocol="HTTP/1.1",
)


@pytest.fixture
def pipe():
    """Both ends. A test may close them: a second time does no harm, when the number may be another's already."""
    reading, writing = os.pipe()
    with io.FileIO(reading, "r") as first, io.FileIO(writing, "w") as second:
        yield first, second


def test_lines_that_a_pipe_takes_at_once_stay_whole_beside_other_writers(pipe, logged):
    reading, writing = pipe
    collected = []

    def read():
        while data := os.read(reading.fileno(), 65536):
            collected.append(data)

    def interfere():
        for number in range(2000):
            os.write(writing.fileno(), b"somebody else %d\n" % number)

    made = logged(Stdout(writing.fileno()))
    threads = [threading.Thread(target=target) for target in (read, interfere)]
    for thread in threads:
        thread.start()
    sent = [name for name, _ in made.send(2000, image="x" * 2000)]
    threads[1].join()
    until(lambda: made.count("delivered_total") == 2000)
    writing.close()
    threads[0].join()
    lines = b"".join(collected).splitlines()
    ours = [json.loads(line)["uuid"] for line in lines if line.startswith(b"{")]
    assert ours == sent
    assert len(lines) == 4000


def test_lines_of_any_length_stay_whole_beside_the_access_log(pipe, logged):
    reading, writing = pipe
    collected = []

    def read():
        while data := os.read(reading.fileno(), 65536):
            collected.append(data)

    thread = threading.Thread(target=read)
    thread.start()
    made = logged(Stdout(writing.fileno()))
    with os.fdopen(os.dup(writing.fileno()), "w") as stream:
        access = AccessLog(stream, revision="cat-1", dropped=lambda: None)
        for _ in range(40):
            made.send(5, image="x" * 50_000)
            for _ in range(50):
                access.write(ENTRY)
        until(lambda: made.count("delivered_total") == 200)
        access.close()
    writing.close()
    thread.join()
    lines = [json.loads(line) for line in b"".join(collected).splitlines()]
    assert [len([line for line in lines if name in line]) for name in ("uuid", "log")] == [200, 2000]


def test_a_line_that_was_written_in_part_goes_on_where_it_stopped(pipe):
    reading, writing = pipe
    fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, 4096)
    os.set_blocking(writing.fileno(), False)
    sink, one = Stdout(writing.fileno()), batch("a" * 30_000, "b" * 30_000, "c" * 30_000)
    read = b""
    tries = 0
    while True:
        tries += 1
        try:
            sink.write(one)
            break
        except Unavailable:
            read += os.read(reading.fileno(), 65536)
    read += os.read(reading.fileno(), 65536)
    assert read == b"".join(line.data for line in one.lines)
    assert tries > 1


def test_a_reader_that_is_gone_is_told_of(pipe):
    reading, writing = pipe
    reading.close()
    with pytest.raises(Unavailable, match="standard output cannot be written to: Broken pipe"):
        Stdout(writing.fileno()).write(batch("a"))


def test_a_reader_that_has_stopped_reading_does_not_keep_the_log_from_ending(pipe, logged):
    reading, writing = pipe
    made = logged(Stdout(writing.fileno()))
    made.send(1000, image="x" * 2000)
    made.log.close(0.3)
    assert made.dropped()["shutdown"] > 500
    reading.close()  # ends the write
