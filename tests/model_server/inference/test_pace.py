import pytest

from catfish_server.inference.pace import RETRY_PASSES, Pace


def learned(times, *, largest=32, passes=60):
    """A pace that has seen so many batches, each as large as it asked for, and some of one."""
    pace = Pace(largest=largest)
    pace.record(1, times(1))
    for _ in range(passes):
        pace.record(pace.limit, times(pace.limit))
    return pace


@pytest.mark.parametrize(("largest", "expected"), [(32, 4), (4, 4), (3, 3), (2, 2), (1, 1)])
def test_before_anything_is_known_it_is_four_or_what_is_allowed(largest, expected):
    assert Pace(largest=largest).limit == expected


@pytest.mark.parametrize(
    ("times", "expected"),
    [
        pytest.param(lambda size: 0.1 * size, 1, id="nothing-gained"),
        pytest.param(lambda size: 0.1 * size * (1 + size / 10), 1, id="lost"),
        pytest.param(lambda size: 0.1 * size if size < 4 else 0.05 * size, 4, id="knee-at-4"),
        pytest.param(lambda size: 0.1 + 0.001 * size, 32, id="all-overhead"),
        pytest.param(lambda size: 0.5 + 0.1 * size if size <= 8 else 0.2 * size, 8, id="worse-beyond-8"),
        pytest.param(lambda size: 0.1 * size * (0.96 if size > 1 else 1.0), 1, id="within-5-percent"),
    ],
)
def test_it_learns_the_smallest_size_that_is_about_as_good_as_the_best(times, expected):
    assert learned(times).limit == expected


def test_a_size_that_is_no_power_of_two_can_be_the_largest():
    assert learned(lambda size: 0.1 + 0.001 * size, largest=6).limit == 6


def test_the_first_batch_of_a_size_is_not_its_usual_time():
    pace = Pace(largest=32)
    pace.record(1, 0.1)
    pace.record(4, 60.0)
    assert pace.seconds(4) == pytest.approx(0.4)
    pace.record(4, 0.2)
    assert (pace.seconds(4), pace.limit) == (pytest.approx(0.2), 8)


def test_a_first_time_that_was_far_off_is_soon_forgotten():
    pace = Pace(largest=1)
    pace.record(1, 10.0)
    for _ in range(20):
        pace.record(1, 0.1)
    assert pace.seconds(1) < 0.5


def test_one_stall_of_the_machine_changes_little():
    pace = Pace(largest=1)
    for _ in range(10):
        pace.record(1, 0.1)
    pace.record(1, 60.0)
    assert pace.seconds(1) == pytest.approx(0.13)


def test_what_did_not_pay_is_tried_again_now_and_then():
    slow = True
    pace = learned(lambda size: 0.1 * size)
    seen = set()
    for _ in range(20 * RETRY_PASSES):
        size = pace.limit
        seen.add(size)
        slow = len(seen) < 2
        pace.record(size, 0.1 * size if slow else 0.1 + 0.01 * size)
    assert pace.limit > 1


def test_a_size_that_the_model_does_not_take_is_never_tried_again():
    pace = learned(lambda size: 0.1 + 0.001 * size)
    pace.too_large(8)
    assert pace.limit == 4
    for size in (4, 2, 1):
        pace.too_large(size)
    assert pace.limit == 1


def test_the_work_that_waits_is_counted_in_batches():
    pace = learned(lambda _size: 1.0, largest=4)
    pace.record(2, 1.0)
    pace.record(2, 1.0)
    assert pace.limit == 4
    assert [round(pace.work(images), 6) for images in (0, 1, 4, 8, 10)] == [0, 1, 1, 2, 3]


def test_of_sizes_that_were_not_measured_the_nearest_tells():
    pace = Pace(largest=32)
    assert pace.seconds(3) == 0
    pace.record(1, 0.1)
    assert pace.seconds(3) == pytest.approx(0.3)
