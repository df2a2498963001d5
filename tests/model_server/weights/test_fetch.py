import os
import resource
import ssl
import subprocess
import sys
import textwrap
import tracemalloc
import urllib.error
from pathlib import Path

import pytest

from catfish_server import errors
from catfish_server.weights import transport
from catfish_server.weights.download import Limits


def test_a_file_arrives_whole_with_its_digest_and_its_progress(scripted, steps, fetched):
    server = scripted(steps.whole())
    told = []
    result = fetched(server.url, progress=lambda done, total: told.append((done, total)))
    assert result.path.read_bytes() == server.data
    assert (result.sha256, result.size, result.temporary) == (server.sha256, len(server.data), True)
    result.discard()
    assert not result.path.exists()
    assert told[0] == (0, len(server.data))
    assert told[-1] == (len(server.data), len(server.data))
    assert told == sorted(told)


def test_a_download_that_is_cut_goes_on_where_it_stopped(scripted, steps, fetched):
    server = scripted(steps.whole(until=1_000_000), steps.whole(until=3_000_000), steps.whole())
    assert fetched(server.url).path.read_bytes() == server.data
    assert [request.get("Range") for request in server.seen] == [None, "bytes=1000000-", "bytes=3000000-"]
    assert server.seen[1]["If-Range"] == '"v1"'


def test_a_stalled_download_goes_on_where_it_stopped(scripted, steps, fetched):
    server = scripted(steps.whole(until=1_000_000, stall=True), steps.whole())
    assert fetched(server.url).path.read_bytes() == server.data
    assert server.seen[1]["Range"] == "bytes=1000000-"


@pytest.mark.parametrize(
    ("first", "second"),
    [
        pytest.param({"etag": '"v1"'}, {"etag": '"v2"'}, id="changed-meanwhile"),
        pytest.param({"etag": '"v1"'}, {"honest": False}, id="ranges-ignored"),
        pytest.param({"etag": None}, {"etag": None}, id="no-validator"),
        pytest.param({"etag": 'W/"v1"'}, {"etag": 'W/"v1"'}, id="weak-validator"),
    ],
)
def test_a_download_starts_over_when_it_cannot_know_that_the_file_is_the_same(
    scripted, steps, fetched, first, second
):
    server = scripted(steps.whole(until=1_000_000, **first), steps.whole(**second))
    result = fetched(server.url)
    assert result.path.read_bytes() == server.data
    assert result.sha256 == server.sha256


def test_another_range_than_the_one_asked_for_is_not_stitched_in(scripted, steps, fetched):
    def wrong_range(handler):
        data = handler.script.data
        headers = {
            "Content-Range": f"bytes 5-{len(data) - 1}/{len(data)}",
            "Content-Length": str(len(data) - 5),
        }
        steps.answer(handler, 206, headers, data[5:])

    server = scripted(steps.whole(until=1_000_000), wrong_range, steps.whole())
    assert fetched(server.url).path.read_bytes() == server.data


def test_many_cuts_are_survived_while_bytes_arrive(scripted, steps, fetched):
    cuts = [steps.whole(until=end) for end in range(1_100_000, 4_194_304, 1_100_000)]
    dead = [steps.hang_up]
    server = scripted(cuts[0], *dead, cuts[1], *dead, steps.whole())
    limits = Limits(tries=3, stall_seconds=1, backoff_seconds=0.001)
    assert fetched(server.url, limits=limits).path.read_bytes() == server.data


def test_a_chunked_body_without_a_length_is_read_to_its_end(scripted, steps, fetched):
    def chunked(handler):
        steps.answer(handler, 200, {"Transfer-Encoding": "chunked"}, b"3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n")

    assert fetched(scripted(chunked).url).path.read_bytes() == b"abcde"


def test_redirects_are_followed(scripted, steps, fetched):
    target = scripted(steps.whole())
    server = scripted(steps.status(302, {"Location": target.url}))
    assert fetched(server.url).path.read_bytes() == target.data


def endless_redirect(steps):
    return steps.status(302, {"Location": "/weights.pt"})


@pytest.mark.parametrize(
    ("script", "failure", "says", "requests"),
    [
        (lambda s: s.status(404), errors.WeightsNotFound, "status 404: there is no such file", 1),
        (lambda s: s.status(410), errors.WeightsNotFound, "status 410", 1),
        (lambda s: s.status(401), errors.WeightsForbidden, "spec.weights.credentialsSecretRef", 1),
        (
            lambda s: s.status(403, body=b"<Error><Code>AccessDenied</Code></Error>"),
            errors.WeightsForbidden,
            "status 403 (AccessDenied): the keys in spec.weights.credentialsSecretRef",
            1,
        ),
        (lambda s: s.status(400), errors.WeightsUnreachable, "status 400", 1),
        (lambda s: s.status(204), errors.WeightsUnreachable, "status 204", 1),
        (lambda s: s.status(500), errors.WeightsUnreachable, "status 500", 3),
        (lambda s: s.status(429), errors.WeightsUnreachable, "status 429", 5),
        (
            lambda s: s.status(503, body=b"<Error><Code>SlowDown</Code></Error>"),
            errors.WeightsUnreachable,
            "the download answered with status 503 (SlowDown)",
            5,
        ),
        (lambda s: s.hang_up, errors.WeightsUnreachable, "was cut off", 3),
        (lambda s: s.whole(until=1000), errors.WeightsUnreachable, "was cut off after 1000 of 4194304", 3),
        (lambda s: s.whole(until=1000, stall=True), errors.WeightsUnreachable, "stalled: no byte", 3),
        (endless_redirect, errors.WeightsUnreachable, "one too many", 5),
        (
            lambda s: s.status(302, {"Location": "file:///etc/passwd"}),
            errors.WeightsUnreachable,
            "a redirect that leads nowhere",
            1,
        ),
        (
            lambda s: s.status(302, {"Location": "ftp://127.0.0.1/w.pt"}),
            errors.WeightsUnreachable,
            "is redirected to an address that is not",
            1,
        ),
        (lambda s: s.status(302), errors.WeightsUnreachable, "a redirect that leads nowhere", 1),
    ],
)
def test_what_a_server_does_ends_in_the_reason_for_it(  # noqa: PLR0917 (fixtures)
    scripted, steps, fetched, directory, script, failure, says, requests
):
    server = scripted(script(steps))
    with pytest.raises(failure) as failed:
        fetched(server.url + "?token=hunter2")
    sentence = str(failed.value)
    assert says in sentence
    assert sentence.startswith(f"spec.weights.url: {server.url} ")
    assert "hunter2" not in sentence
    assert len(server.seen) == requests
    assert list(directory.iterdir()) == []


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("http://nowhere.invalid/w.pt", "the host's name cannot be resolved"),
        ("http://127.0.0.1:1/w.pt", "the connection was refused"),
    ],
)
def test_a_server_that_is_not_there_is_unreachable(fetched, url, says):
    with pytest.raises(errors.WeightsUnreachable, match=says):
        fetched(url)


def test_a_certificate_that_nobody_vouches_for_is_told_from_a_cut():
    error = urllib.error.URLError(ssl.SSLCertVerificationError("self-signed certificate"))
    assert transport.describe(error) == "failed: the server's certificate is not trusted"


def test_bytes_that_hash_to_something_else_are_refused_and_not_kept(scripted, fetched, directory):
    server = scripted()
    with pytest.raises(
        errors.ChecksumMismatch, match=rf"^spec\.weights\.sha256: .* {server.sha256}, not to 0000"
    ):
        fetched(server.url, sha256="0" * 64)
    assert list(directory.iterdir()) == []


def test_a_download_is_kept_under_its_digest_and_not_fetched_twice(scripted, fetched):
    server = scripted()
    first = fetched(server.url, sha256=server.sha256)
    second = fetched(server.url, sha256=server.sha256)
    assert first == second
    assert not first.temporary
    assert len(server.seen) == 1


def test_a_kept_file_that_has_changed_is_fetched_again(scripted, fetched):
    server = scripted()
    kept = fetched(server.url, sha256=server.sha256).path
    kept.write_bytes(b"damaged")
    assert fetched(server.url, sha256=server.sha256).path.read_bytes() == server.data
    assert len(server.seen) == 2


def test_without_a_digest_nothing_is_used_again(scripted, fetched):
    server = scripted()
    fetched(server.url)
    fetched(server.url)
    assert len(server.seen) == 2


def test_memory_stays_flat_whatever_the_size(scripted, fetched):
    server = scripted(data=bytes(64 * 1024 * 1024))
    tracemalloc.start()
    try:
        fetched(server.url)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    # The server lives in this process and writes from one buffer that was there before.
    assert peak < 8 * 1024 * 1024


def test_a_file_larger_than_the_disk_is_refused_before_it_is_fetched(scripted, steps, fetched):
    def enormous(handler):
        steps.answer(handler, 200, {"Content-Length": str(2**60)})

    with pytest.raises(errors.DiskFull, match="the disk is full"):
        fetched(scripted(enormous).url)


def test_a_disk_that_fills_up_meanwhile_says_so(scripted, tmp_path):
    """A limit on the size of files stands in for the disk; it holds for a whole process."""
    server = scripted()
    program = f"""
        import resource, pathlib
        from catfish_server.weights import fetch, location
        from catfish_server.errors import DiskFull
        resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, 1_000_000))
        try:
            fetch.fetch(
                location.parse({server.url!r}),
                directory=pathlib.Path({str(tmp_path)!r}),
                sha256=None,
                endpoint=None,
                env={{}},
                progress=lambda done, total: None,
            )
        except DiskFull as failure:
            print(failure)
    """
    result = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)],
        env={"PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert "the disk is full" in result.stdout
    assert list(tmp_path.iterdir()) == []


def test_no_descriptor_is_left_open(scripted, steps, fetched):
    server = scripted(steps.status(500))
    soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    before = len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(3):
        with pytest.raises(errors.WeightsUnreachable):
            fetched(server.url)
    assert len(list(Path("/proc/self/fd").iterdir())) <= before + 2 < soft
