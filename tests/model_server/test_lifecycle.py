import pytest

from catfish_server.lifecycle import STALL_LIMITS, Lifecycle, Score, Stage, Weights


class Clock:
    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


def test_a_life_begins_with_fetching_and_is_alive_and_not_ready(clock):
    snapshot = Lifecycle(clock).snapshot()
    assert (snapshot.stage, snapshot.alive, snapshot.ready) == (Stage.FETCHING, True, False)


def test_only_the_ready_stage_is_ready(clock):
    lifecycle = Lifecycle(clock)
    ready = []
    for stage in Stage:
        lifecycle.enter(stage)
        ready.append((stage, lifecycle.snapshot().ready))
    assert ready == [(stage, stage is Stage.READY) for stage in Stage]


def test_a_life_never_goes_back(clock):
    lifecycle = Lifecycle(clock)
    lifecycle.enter(Stage.DRAINING)
    with pytest.raises(ValueError, match="cannot go back from draining to ready"):
        lifecycle.enter(Stage.READY)


@pytest.mark.parametrize("stage", [stage for stage in Stage if stage is not Stage.READY])
def test_a_stage_without_a_sign_of_life_is_stuck_after_its_limit(stage, clock):
    lifecycle = Lifecycle(clock)
    lifecycle.enter(stage)
    clock.now += STALL_LIMITS[stage]
    assert lifecycle.snapshot().alive
    clock.now += 1
    assert not lifecycle.snapshot().alive


def test_progress_is_a_sign_of_life(clock):
    lifecycle = Lifecycle(clock)
    for done in range(10):
        clock.now += STALL_LIMITS[Stage.FETCHING] - 1
        lifecycle.progress(done, 10)
        assert lifecycle.snapshot().alive
    assert (lifecycle.snapshot().done, lifecycle.snapshot().total) == (9, 10)


def test_a_new_stage_starts_with_no_progress(clock):
    lifecycle = Lifecycle(clock)
    lifecycle.progress(5, 10)
    clock.now += 7
    lifecycle.enter(Stage.LOADING)
    clock.now += 2
    snapshot = lifecycle.snapshot()
    assert (snapshot.done, snapshot.total, snapshot.seconds_in_stage) == (0, None, 2)


def test_what_is_known_of_the_model_stays_known(clock):
    lifecycle = Lifecycle(clock)
    assert (lifecycle.snapshot().weights, lifecycle.snapshot().score) == (None, None)
    weights = Weights(sha256="0" * 64, size=3, format="safetensors", download_seconds=1.5)
    lifecycle.fetched(weights)
    lifecycle.verified(Score(right=3, total=4))
    lifecycle.enter(Stage.READY)
    assert (lifecycle.snapshot().weights, lifecycle.snapshot().score) == (weights, Score(right=3, total=4))


def test_a_ready_server_may_be_idle_for_ever(clock):
    lifecycle = Lifecycle(clock)
    lifecycle.watch(lambda: 0.0)
    lifecycle.enter(Stage.READY)
    clock.now += 1_000_000
    assert lifecycle.snapshot().alive


def test_a_ready_server_with_a_hanging_inference_is_stuck(clock):
    lifecycle = Lifecycle(clock)
    lifecycle.watch(lambda: STALL_LIMITS[Stage.READY] + 1)
    lifecycle.enter(Stage.READY)
    assert not lifecycle.snapshot().alive


@pytest.mark.parametrize(
    ("longest", "quiet", "alive"),
    [(5.0, 60.0, True), (5.0, 61.0, False), (90.0, 180.0, True), (90.0, 181.0, False)],
)
def test_an_inference_may_take_twice_the_longest_request_and_a_minute_at_least(clock, longest, quiet, alive):
    lifecycle = Lifecycle(clock)
    lifecycle.watch(lambda: quiet, longest_seconds=longest)
    lifecycle.enter(Stage.READY)
    assert lifecycle.snapshot().alive is alive
