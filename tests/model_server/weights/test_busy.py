"""Servers that ask to come again: they are asked again, as often and as late as the limits say."""

import itertools
import time
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from catfish_server import errors
from catfish_server.weights import transport
from catfish_server.weights.download import Limits
from catfish_server.weights.pace import Pace

from .conftest import QUICK


def error(code):
    return f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>m</Message></Error>".encode()


@pytest.mark.parametrize(
    ("status", "body"),
    [
        pytest.param(408, b"", id="408"),
        pytest.param(425, b"", id="425"),
        pytest.param(429, b"", id="429"),
        pytest.param(500, error("InternalError"), id="s3-internal"),
        pytest.param(500, error("OperationTimedOut"), id="azure-timeout"),
        pytest.param(502, b"", id="502"),
        pytest.param(503, b"", id="503"),
        pytest.param(503, error("SlowDown"), id="s3-slow-down"),
        pytest.param(503, error("ServerBusy"), id="azure-busy"),
        pytest.param(504, b"", id="504"),
        pytest.param(400, error("RequestTimeout"), id="s3-timeout"),
        pytest.param(400, error("ThrottlingException"), id="throttling"),
        pytest.param(403, error("RequestLimitExceeded"), id="limit-as-403"),
        pytest.param(409, error("SlowDown"), id="slow-down-as-409"),
    ],
)
def test_what_may_pass_is_asked_for_again(scripted, steps, fetched, status, body):
    server = scripted(steps.status(status, body=body), steps.status(status, body=body), steps.whole())
    assert fetched(server.url).path.read_bytes() == server.data
    assert len(server.seen) == 3


@pytest.mark.parametrize(
    ("status", "body"),
    [(400, error("InvalidArgument")), (403, error("RequestTimeTooSkewed")), (409, error("BlobArchived"))],
)
def test_what_will_not_pass_is_final(scripted, steps, fetched, status, body):
    server = scripted(steps.status(status, body=body))
    with pytest.raises(errors.StartupFailure):
        fetched(server.url)
    assert len(server.seen) == 1


def test_a_busy_server_is_asked_more_often_than_one_that_fails_and_loses_nothing(scripted, steps, fetched):
    busy = [steps.status(503)] * 4
    server = scripted(*busy, steps.whole(until=1_000_000), *busy, steps.hang_up, steps.whole())
    limits = Limits(tries=3, busy_tries=9, stall_seconds=1, backoff_seconds=0.001)
    assert fetched(server.url, limits=limits).path.read_bytes() == server.data
    assert [request.get("Range") for request in server.seen] == [None] * 5 + ["bytes=1000000-"] * 6


def test_one_that_stays_busy_ends_the_start_with_a_reason_that_may_pass(scripted, steps, fetched):
    server = scripted(steps.status(429))
    with pytest.raises(errors.WeightsUnreachable, match=r"the download answered with status 429$") as failed:
        fetched(server.url)
    assert failed.value.retriable
    assert len(server.seen) == QUICK.busy_tries


@pytest.mark.parametrize(
    "asked",
    [
        pytest.param(lambda: "3600", id="seconds"),
        pytest.param(lambda: format_datetime(datetime.now(UTC) + timedelta(hours=1), usegmt=True), id="date"),
    ],
)
def test_a_server_says_how_long_to_wait_within_the_limit(scripted, steps, fetched, asked):
    times = []

    def step(handler):
        times.append(time.monotonic())
        steps.status(503, {"Retry-After": asked()})(handler)

    def last(handler):
        times.append(time.monotonic())
        steps.whole()(handler)

    server = scripted(step, step, last)
    limits = Limits(stall_seconds=1, backoff_seconds=0.001, wait_seconds=0.3)
    fetched(server.url, limits=limits)
    assert all(0.3 <= later - earlier < 3 for earlier, later in itertools.pairwise(times))


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ({}, 0),
        ({"Retry-After": "7"}, 7),
        ({"Retry-After": "0"}, 0),
        ({"Retry-After": "-7"}, 0),
        ({"Retry-After": "soon"}, 0),
        ({"Retry-After": "²"}, 0),
        ({"Retry-After": "9" * 5000}, 0),
        ({"Retry-After": "Wed, 21 Oct 2015 07:28:00 GMT"}, 0),
        ({"Retry-After": "Wed, 21 Oct 2015 07:28:00 -0000"}, 0),
        ({"Retry-After": "Wed, 99 Oct 2015 07:28:00 GMT"}, 0),
        ({"Retry-After": "Wed, 21 Oct 0000 07:28:00 GMT"}, 0),
        ({"Retry-After": "Wed, 21 Oct 0001 07:28:00 -0000"}, 0),
    ],
)
def test_a_time_that_is_none_is_as_if_nothing_was_asked(scripted, steps, header, seconds):
    server = scripted(steps.status(503, header))
    with pytest.raises(transport.Busy) as busy:
        transport.get(server.url, headers={}, pace=Pace(seconds=5, least_bytes=1))
    assert busy.value.after_seconds == seconds
