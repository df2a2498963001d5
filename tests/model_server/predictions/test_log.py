import signal
import threading
import time

import pytest

from catfish_server.predictions.buffer import Limits
from catfish_server.predictions.log import Backoff
from catfish_server.predictions.sinks.sink import Unavailable

from .conftest import Scripted, until


def test_every_record_is_delivered_once_and_in_order(logged):
    sink = Scripted()
    made = logged(sink)
    sent = [name for name, _ in made.send(95)]
    until(lambda: made.count("delivered_total") == 95)
    assert sink.uuids == sent
    assert [batch.number for batch in sink.batches] == list(range(len(sink.batches)))
    assert max(len(batch.lines) for batch in sink.batches) <= 10
    assert made.count("queued_records") == made.count("queued_bytes") == 0


def test_records_that_come_together_are_written_together(logged):
    sink = Scripted(limits=Limits(records=50, size=1 << 20, linger_seconds=30.0))
    made = logged(sink)
    made.send(49)
    assert sink.batches == []
    made.send(1)
    until(lambda: len(sink.uuids) == 50)
    assert len(sink.batches) == 1


def test_a_batch_does_not_wait_for_more_than_the_sink_says(logged):
    sink = Scripted(limits=Limits(records=50, size=1 << 20, linger_seconds=0.05))
    logged(sink).send(1)
    until(lambda: len(sink.batches) == 1)


def test_a_batch_is_not_larger_than_the_sink_takes(logged):
    sink = Scripted(limits=Limits(records=50, size=5000, linger_seconds=0.2))
    made = logged(sink)
    made.send(20, image="x" * 1000)
    made.send(1, image="x" * 20_000)
    until(lambda: len(sink.uuids) == 21)
    assert all(len(batch.lines) <= 2 for batch in sink.batches)


def test_what_a_sink_that_is_down_does_not_take_is_kept_as_far_as_there_is_room(logged):
    sink = Scripted(down=True)
    made = logged(sink, max_records=100)
    sent = made.send(130)
    assert [taken for _, taken in sent] == [True] * 100 + [False] * 30
    assert made.count("queued_records") == 100
    assert made.dropped() == {"records": 30}
    until(lambda: made.count("failures_total") > 2)
    sink.down = False
    until(lambda: made.count("delivered_total") == 100)
    assert sink.uuids == [name for name, taken in sent if taken]
    assert made.dropped() == {"records": 30}


def test_the_bytes_that_wait_are_bounded_too(logged):
    made = logged(Scripted(down=True), max_bytes=100_000)
    sent = made.send(100, image="x" * 2000)
    assert 30 < sum(taken for _, taken in sent) < 50
    assert made.count("queued_bytes") <= 100_000
    assert made.dropped() == {"bytes": 100 - made.count("queued_records")}


def test_a_sink_that_is_stuck_holds_up_nobody(logged):
    sink = Scripted(stuck=threading.Event())
    made = logged(sink, max_records=1000)
    began = time.monotonic()
    made.send(20_000)
    assert time.monotonic() - began < 5, "about 5 us each are usual; waiting once for the sink would be 60 s"
    assert made.dropped() == {"records": 19_000}
    sink.stuck.set()


def test_after_a_failure_the_tries_come_at_longer_and_longer_intervals(logged):
    sink = Scripted(down=True)
    made = logged(sink, backoff=Backoff(first_seconds=0.02, max_seconds=0.3, random=lambda: 1.0))
    made.send(1)
    until(lambda: len(sink.tries) == 6)
    between = [after - before for before, after in zip(sink.tries, sink.tries[1:], strict=False)]
    for waited, wanted in zip(between, [0.02, 0.04, 0.08, 0.16, 0.3], strict=True):
        assert waited >= wanted


@pytest.mark.parametrize(
    ("failures", "random", "seconds"),
    [(1, 0.0, 0.1), (1, 1.0, 0.2), (3, 1.0, 0.8), (99, 1.0, 5.0), (99, 0.0, 2.5)],
)
def test_the_backoff_doubles_up_to_its_limit_with_half_of_it_by_chance(failures, random, seconds):
    made = Backoff(first_seconds=0.2, max_seconds=5.0, random=lambda: random)
    assert made.seconds(failures) == pytest.approx(seconds)


def test_an_outage_is_told_of_once_and_so_is_its_end(logged, caplog):
    caplog.set_level("INFO")
    sink = Scripted(down=True)
    made = logged(sink)
    made.send(3)
    until(lambda: len(sink.tries) > 4)
    sink.down = False
    until(lambda: made.count("delivered_total") == 3)
    until(lambda: len(caplog.messages) == 2)
    assert caplog.messages[0] == "The prediction log waits: it is down."
    assert caplog.messages[1].startswith("The prediction log goes on after ")


def test_each_reason_of_an_outage_is_told_of_once(logged, caplog):
    class Changing(Scripted):
        def write(self, _batch):
            self.tries.append(0.0)
            raise Unavailable("no answer" if len(self.tries) in {1, 3} else "a wrong password")

    sink = Changing()
    logged(sink).send(1)
    until(lambda: len(sink.tries) > 6)
    waits = "The prediction log waits: "
    assert caplog.messages == [f"{waits}no answer.", f"{waits}a wrong password."]


def test_a_record_that_is_larger_than_all_the_room_is_delivered_alone(logged):
    sink = Scripted(stuck=threading.Event())
    made = logged(sink, max_bytes=5000)
    assert [taken for _, taken in made.send(2, image="x" * 9000)] == [True, False]
    assert made.send(1)[0][1] is False
    sink.stuck.set()
    until(lambda: made.count("delivered_total") == 1)
    assert made.dropped() == {"bytes": 2}


def test_closing_delivers_what_waits_without_lingering(logged):
    sink = Scripted(limits=Limits(records=1000, size=1 << 20, linger_seconds=60.0))
    made = logged(sink)
    made.send(30)
    began = time.monotonic()
    made.log.close()
    assert time.monotonic() - began < 3
    assert (len(sink.uuids), sink.closed) == (30, True)
    assert made.dropped() == {}


@pytest.mark.parametrize(
    "sink", [Scripted(down=True), Scripted(stuck=threading.Event())], ids=["down", "stuck"]
)
def test_closing_ends_in_time_whatever_the_sink_does_and_counts_what_is_lost(logged, sink):
    made = logged(sink)
    made.send(30)
    began = time.monotonic()
    made.log.close(0.5)
    assert time.monotonic() - began < 2
    assert made.dropped() == {"shutdown": 30}
    assert made.send(1)[0][1] is False
    assert made.dropped() == {"shutdown": 30, "closed": 1}
    assert sink.closed == (sink.stuck is None), "one that is not closed holds up the end of the process"
    if sink.stuck:
        sink.stuck.set()


def test_a_signal_that_raises_while_the_log_is_closed_closes_no_sink_that_is_written_to(logged):
    """As Ctrl-C does under another WSGI server."""

    class Told(Exception):
        pass

    def tell(_number, _frame):
        raise Told

    sink = Scripted(stuck=threading.Event())
    made = logged(sink)
    made.send(3)
    until(lambda: made.count("queued_records") == 3 and not made.log._buffer._waiting)
    before = signal.signal(signal.SIGUSR1, tell)
    try:
        threading.Timer(0.2, signal.pthread_kill, (threading.main_thread().ident, signal.SIGUSR1)).start()
        with pytest.raises(Told):
            made.log.close(30)
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert (sink.closed, made.dropped()) == (False, {"shutdown": 3})
    sink.stuck.set()


def test_a_log_that_is_hurried_waits_no_longer_and_closes_no_sink_that_is_written_to(logged):
    sink = Scripted(stuck=threading.Event())
    made = logged(sink)
    made.send(3)
    until(lambda: made.count("queued_records") == 3 and not made.log._buffer._waiting)
    began = time.monotonic()
    made.log.close(30, hurried=lambda: time.monotonic() > began + 0.2)
    assert 0.2 < time.monotonic() - began < 2
    assert (sink.closed, made.dropped()) == (False, {"shutdown": 3})
    sink.stuck.set()


def test_a_sink_that_comes_back_while_the_server_ends_gets_everything(logged):
    sink = Scripted(down=True)
    made = logged(sink, backoff=Backoff(first_seconds=60, max_seconds=60))
    made.send(30)
    until(lambda: sink.tries)
    threading.Timer(0.3, lambda: setattr(sink, "down", False)).start()
    made.log.close(10)
    assert len(sink.uuids) == 30
    assert made.dropped() == {}


def test_what_a_sink_refuses_for_good_is_counted_and_the_rest_goes_on(logged):
    sink = Scripted(refuses=1)
    made = logged(sink)
    made.send(1)
    until(lambda: made.dropped() == {"refused": 1})
    sink.refuses = 0
    made.send(1)
    until(lambda: made.count("delivered_total") == 1)


@pytest.mark.parametrize(
    "fields", [{"probability": float("nan")}, {"time": float("inf")}], ids=["not-a-number", "no-time"]
)
def test_a_record_that_is_no_json_does_not_stop_the_others(logged, fields):
    made = logged(Scripted())
    made.send(1, **fields)
    made.send(1)
    until(lambda: made.count("delivered_total") == 1)
    assert made.dropped() == {"refused": 1}


def test_an_error_that_nobody_expects_is_a_failure_like_any_other(logged):
    class Broken(Scripted):
        def write(self, batch):
            if len(self.tries) < 3:
                self.tries.append(0.0)
                raise RuntimeError("hunter2")
            return super().write(batch)

    made = logged(Broken())
    made.send(5)
    until(lambda: made.count("delivered_total") == 5)
    assert made.count("failures_total") >= 3


def test_half_of_the_predictions_are_sampled_and_always_the_same_half(logged):
    one, other = (logged(Scripted(), sample_rate=0.5) for _ in range(2))
    names = [f"{number:032x}" for number in range(4000)]
    chosen = [name for name in names if one.log.sampled(name)]
    assert 1800 < len(chosen) < 2200
    assert chosen == [name for name in names if other.log.sampled(name)]
    assert not any(map(logged(Scripted(), sample_rate=0.0).log.sampled, names))
    assert all(map(logged(Scripted(), sample_rate=1.0).log.sampled, names))


def test_every_reason_is_there_from_the_start(logged):
    made = logged(Scripted())
    for reason in ("records", "bytes", "refused", "shutdown", "closed"):
        assert made.count("dropped_total", reason=reason) == 0
