"""The probes tell the truth: alive means that work gets done, ready that it could."""

import asyncio
import urllib.request

import pytest

from catfish_operator.controller import admin
from catfish_operator.controller.health import LATEST_RESYNC, LONGEST_LAG, LONGEST_WORK, Health
from catfish_operator.controller.metrics import Metrics
from catfish_operator.controller.queue import Key

A = Key("default", "a")


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


def test_the_operator_is_dead_when_listings_do_not_end(clock):
    health = Health(clock=clock)
    clock.now += LATEST_RESYNC + 1
    assert "listing" in health.not_alive()
    health.resync_ended(filled=False)
    assert health.not_alive() is None


def test_the_cluster_is_seen_since_the_last_break_and_not_at_all_while_listings_fail(clock):
    health = Health(clock=clock)
    clock.now = 10
    health.resync_ended(filled=True)
    assert health.seen_since() == 0
    health.resync_ended(filled=False)
    clock.now = 20
    assert health.seen_since() == 20
    clock.now = 30
    health.resync_ended(filled=True)
    clock.now = 40
    health.resync_ended(filled=True)
    assert health.seen_since() == 30
    health.sees_again()
    assert health.seen_since() == 40


def test_the_operator_is_dead_when_a_worker_hangs(clock):
    health = Health(clock=clock)
    health.work_begins(A)
    clock.now += LONGEST_WORK + 1
    health.resync_ended(filled=True)
    assert "default/a" in health.not_alive()
    health.work_ends(A)
    assert health.not_alive() is None


def test_the_operator_is_dead_when_its_loop_is_blocked(clock):
    health = Health(clock=clock)
    health.lag = LONGEST_LAG + 1
    assert "event loop" in health.not_alive()


def test_the_operator_is_dead_when_models_are_ready_and_no_worker_takes_any(clock):
    health = Health(clock=clock, ready=lambda: 3)
    health.loop_woke(lag=0.0)
    clock.now += LONGEST_WORK + 1
    health.resync_ended(filled=True)
    health.loop_woke(lag=0.0)
    assert "3 are ready" in health.not_alive()
    health.work_begins(A)
    assert health.not_alive() is None


def test_idle_workers_are_no_trouble_when_models_come_after_a_long_quiet_time(clock):
    waiting = []
    health = Health(clock=clock, ready=lambda: len(waiting))
    clock.now += LONGEST_WORK + 1
    health.resync_ended(filled=True)
    health.loop_woke(lag=0.0)
    waiting.append(A)
    assert health.not_alive() is None


def test_the_operator_is_ready_only_when_it_knows_who_leads(clock):
    health = Health(clock=clock, filled=True, leader_known=False)
    assert "leads" in health.not_ready()
    health.leader_seen()
    assert health.not_ready() is None


def test_the_probes_answer_on_a_real_port(clock):
    health, metrics = Health(clock=clock), Metrics()
    metrics.count_request("GET", 200)

    def ask(port, path):
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as response:
                return response.status, response.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()

    async def scenario():
        async with admin.serve(host="127.0.0.1", port=0, health=health, metrics=metrics.text) as port:
            return [await asyncio.to_thread(ask, port, path) for path in ("/livez", "/readyz", "/metrics")]

    alive, ready, text = asyncio.run(scenario())
    assert alive == (200, "ok\n")
    assert ready == (503, "the first listing has not been completed\n")
    assert 'catfish_api_requests_total{status="200",verb="GET"} 1.0' in text[1]
