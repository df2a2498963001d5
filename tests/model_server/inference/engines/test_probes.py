import numpy as np
import pytest

from catfish_server.inference.engines import probes


def test_the_batches_are_of_different_sizes_in_the_layout_of_preprocessing():
    batches = probes.batches(32)
    assert [batch.shape for batch in batches] == [(1, 3, 32, 32), (2, 3, 32, 32), (5, 3, 32, 32)]
    assert all(
        batch.dtype == np.float32 and batch.transpose(0, 2, 3, 1).flags.c_contiguous for batch in batches
    )


def test_the_images_are_the_same_each_time_and_none_is_like_another():
    first, again = probes.batches(32), probes.batches(32)
    assert all(np.array_equal(one, other) for one, other in zip(first, again, strict=True))
    images = np.concatenate(first).reshape(8, -1)
    assert len(np.unique(images, axis=0)) == 8


EXPECTED = np.array([[1.0, 2.0, -10.0], [3.0, 2.9999, 0.0]], dtype=np.float32)


@pytest.mark.parametrize(
    ("found", "difference"),
    [
        pytest.param(EXPECTED, 0.0, id="the-same"),
        pytest.param(EXPECTED * 1.01, 0.01, id="one-percent-of-the-largest"),
        pytest.param(EXPECTED[:, [0, 2, 1]], np.inf, id="another-class"),
        pytest.param(np.array([[1, 2, -10], [3, 3.0005, 0]]), 6e-5, id="two-classes-that-are-as-good"),
        pytest.param(np.array([[1, 2, -10], [2.9, 3, 0]]), 0.01, id="the-same-classes-by-rounding"),
        pytest.param(EXPECTED[:, :2], np.inf, id="another-shape"),
        pytest.param(EXPECTED * np.nan, np.inf, id="not-a-number"),
    ],
)
def test_two_answers_are_as_far_apart_as_their_largest_logits_and_their_classes(found, difference):
    assert probes.difference([found], [EXPECTED]) == pytest.approx(difference, rel=0.05)


def test_a_class_that_changes_within_the_tolerance_is_a_difference_nevertheless():
    expected = np.array([[10.0, 9.99, 0.0]], dtype=np.float32)
    found = np.array([[9.994, 9.996, 0.0]], dtype=np.float32)
    assert probes.difference([found], [expected]) == np.inf
