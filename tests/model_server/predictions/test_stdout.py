import contextlib
import fcntl
import json
import os
import threading

import pytest

from catfish_server.predictions.sinks.sink import Unavailable
from catfish_server.predictions.sinks.stdout import Stdout

from .conftest import batch, until


@pytest.fixture
def pipe():
    reading, writing = os.pipe()
    yield reading, writing
    for descriptor in (reading, writing):
        with contextlib.suppress(OSError):
            os.close(descriptor)


def test_lines_of_any_length_stay_whole_beside_other_writers(pipe, logged):
    reading, writing = pipe
    collected = []

    def read():
        while data := os.read(reading, 65536):
            collected.append(data)

    def interfere():
        for number in range(2000):
            os.write(writing, b"somebody else %d\n" % number)

    made = logged(Stdout(writing))
    threads = [threading.Thread(target=target) for target in (read, interfere)]
    for thread in threads:
        thread.start()
    sent = [name for name, _ in made.send(2000, image="x" * 2000)]
    threads[1].join()
    until(lambda: made.count("delivered_total") == 2000)
    os.close(writing)
    threads[0].join()
    lines = b"".join(collected).splitlines()
    ours = [json.loads(line)["uuid"] for line in lines if line.startswith(b"{")]
    assert ours == sent
    assert len(lines) == 4000


def test_a_line_that_was_written_in_part_goes_on_where_it_stopped(pipe):
    reading, writing = pipe
    fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, 4096)
    os.set_blocking(writing, False)
    sink, one = Stdout(writing), batch("a" * 30_000, "b" * 30_000, "c" * 30_000)
    read = b""
    tries = 0
    while True:
        tries += 1
        try:
            sink.write(one)
            break
        except Unavailable:
            read += os.read(reading, 65536)
    read += os.read(reading, 65536)
    assert read == b"".join(line.data for line in one.lines)
    assert tries > 1


def test_a_reader_that_is_gone_is_told_of(pipe):
    reading, writing = pipe
    os.close(reading)
    with pytest.raises(Unavailable, match="standard output cannot be written to: Broken pipe"):
        Stdout(writing).write(batch("a"))


def test_a_reader_that_has_stopped_reading_does_not_keep_the_log_from_ending(pipe, logged):
    reading, writing = pipe
    made = logged(Stdout(writing))
    made.send(1000, image="x" * 2000)
    made.log.close(0.3)
    assert made.dropped()["shutdown"] > 500
    os.close(reading)  # ends the write
