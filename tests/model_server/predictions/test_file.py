import json
import os
import subprocess
import sys
import threading

import pytest

from catfish_server.errors import InvalidSpec
from catfish_server.predictions.sinks.file import RotatingFile

from .conftest import batch, until


def uuids(*paths):
    return [json.loads(line)["uuid"] for path in paths for line in path.read_bytes().splitlines()]


def test_a_file_is_rotated_by_size_and_only_so_many_are_kept(tmp_path):
    path = tmp_path / "new" / "log.jsonl"
    sink = RotatingFile(path, max_bytes=64, files=3)  # five lines of 12 bytes
    for number in range(20):
        sink.write(batch(f"{number:01x}" if number < 16 else f"{number - 16:01x}", number=number))
    sink.close()
    files = sorted(path.parent.iterdir())
    assert [file.name for file in files] == ["log.jsonl", "log.jsonl.1", "log.jsonl.2"]
    assert all(file.stat().st_size <= 64 for file in files)
    kept = uuids(path.with_name("log.jsonl.2"), path.with_name("log.jsonl.1"), path)
    assert kept == [f"{number % 16:01x}" for number in range(20 - len(kept), 20)]


def test_a_batch_larger_than_a_file_is_in_one_file(tmp_path):
    path = tmp_path / "log.jsonl"
    sink = RotatingFile(path, max_bytes=64, files=1)
    sink.write(batch("a"))
    sink.write(batch(*"0123456789abcdef", number=1))
    sink.close()
    assert uuids(*tmp_path.iterdir()) == list("0123456789abcdef")


def test_a_restart_goes_on_in_the_file_and_ends_a_line_that_was_cut(tmp_path):
    path = tmp_path / "log.jsonl"
    path.write_bytes(b'{"uuid":"a"}\n{"uu')
    sink = RotatingFile(path, max_bytes=1000, files=3)
    sink.write(batch("b"))
    sink.close()
    assert path.read_bytes().splitlines() == [b'{"uuid":"a"}', b'{"uu', b'{"uuid":"b"}']


def test_where_no_file_can_be_the_reason_is_told(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(
        InvalidSpec, match=r"^spec\.logging\.predictions\.url: the file cannot be written: File exists"
    ):
        RotatingFile(tmp_path / "file" / "log.jsonl", max_bytes=64, files=3)


FULL = """
import resource, signal, sys
from pathlib import Path
from catfish_server.predictions.sinks.file import RotatingFile
from catfish_server.predictions.sinks.sink import Batch, Line, Unavailable

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (100, resource.RLIM_INFINITY))
sink = RotatingFile(Path(sys.argv[1]), max_bytes=10_000, files=2)
def batch(number):
    data = b'{"uuid":"%s"}\\n' % (b"%d" % number * 39)
    return Batch(number=number, time=0, lines=(Line(data=data, kind="prediction", uuid="", time=0),))
sink.write(batch(1))
try:
    sink.write(batch(2))
except Unavailable as error:
    print(error)
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
sink.write(batch(2))
"""


def test_a_disk_that_is_full_leaves_no_half_of_a_line_and_the_next_try_has_all_of_it(tmp_path):
    path = tmp_path / "log.jsonl"
    done = subprocess.run(
        [sys.executable, "-c", FULL, path],
        capture_output=True,
        text=True,
        check=True,
        env={"PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert done.stdout == "the file cannot be written: File too large\n"
    assert uuids(path) == ["1" * 39, "2" * 39]


def test_many_threads_write_whole_lines_and_every_one_of_them(tmp_path, logged):
    path = tmp_path / "log.jsonl"
    made = logged(RotatingFile(path, max_bytes=20_000, files=1000))
    sent = []

    def send():
        sent.extend(name for name, _ in made.send(100, image="x" * 300))

    threads = [threading.Thread(target=send) for _ in range(32)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    made.log.close(120)
    assert len(list(tmp_path.iterdir())) > 2
    assert sorted(uuids(*tmp_path.iterdir())) == sorted(sent)
    assert made.count("delivered_total") == len(sent) == 3200


def test_a_file_that_cannot_be_written_for_a_while_gets_everything_afterwards(tmp_path, logged):
    folder = tmp_path / "logs"
    sink = RotatingFile(folder / "log.jsonl", max_bytes=64, files=100)
    made = logged(sink)
    made.send(1)
    until(lambda: made.count("delivered_total") == 1)
    folder.rename(tmp_path / "away")
    folder.touch()  # the next rotation finds no folder
    made.send(20)
    until(lambda: made.count("failures_total") > 2)
    folder.unlink()
    (tmp_path / "away").rename(folder)
    until(lambda: made.count("delivered_total") == 21)
    assert len(uuids(*folder.iterdir())) == 21
    assert made.dropped() == {}


def test_a_file_that_somebody_removed_is_made_anew(tmp_path):
    path = tmp_path / "log.jsonl"
    sink = RotatingFile(path, max_bytes=1000, files=3)
    sink.write(batch("a"))
    path.unlink()
    sink.write(batch("b", number=1))
    sink.close()
    assert uuids(path) == ["b"]


def test_a_rotation_that_was_cut_goes_on_and_loses_no_older_file(tmp_path):
    path = tmp_path / "log.jsonl"
    for end, name in (("", "c"), (".2", "b"), (".3", "a")):  # killed before the newest was moved
        path.with_name(f"log.jsonl{end}").write_bytes(batch(name).lines[0].data)
    sink = RotatingFile(path, max_bytes=15, files=4)
    sink.write(batch("d"))
    sink.close()
    assert uuids(*(path.with_name(f"log.jsonl{end}") for end in (".3", ".2", ".1", ""))) == list("abcd")
