"""The cache: no older state overwrites a newer one, whatever order they arrive in."""

from datetime import UTC, datetime

import pytest

from catfish_operator.cluster import MODEL, Listing, kind_of
from catfish_operator.controller.cache import Cache
from catfish_operator.controller.queue import Key

NOW = datetime(2026, 1, 1, tzinfo=UTC)
DEPLOYMENT = kind_of("apps/v1", "Deployment")
REVISION = kind_of("apps/v1", "ControllerRevision")
POD = kind_of("v1", "Pod")
KEY = Key("default", "cat")


def thing(version, *, name="cat", model="cat", **extra):
    labels = {"catfish.dev/model": model} if model else {}
    metadata = {"namespace": "default", "name": name, "resourceVersion": str(version), "labels": labels}
    return {"metadata": {**metadata, **extra}}


@pytest.fixture
def cache():
    cache = Cache()
    cache.observe(MODEL, thing(1))
    return cache


def deployment_version(cache):
    found = cache.snapshot(KEY, now=NOW).deployment
    return found and int(found["metadata"]["resourceVersion"])


def test_a_new_state_concerns_its_model(cache):
    assert cache.observe(POD, thing(5, name="cat-x")) == {KEY}
    assert [pod["metadata"]["name"] for pod in cache.snapshot(KEY, now=NOW).pods] == ["cat-x"]


def test_the_same_state_again_concerns_nobody(cache):
    cache.observe(DEPLOYMENT, thing(5))
    assert cache.observe(DEPLOYMENT, thing(5)) == set()


def test_an_event_older_than_our_own_write_is_passed_over(cache):
    cache.observe(DEPLOYMENT, thing(9), live=True)
    assert cache.observe(DEPLOYMENT, thing(8)) == set()
    assert deployment_version(cache) == 9


def test_versions_are_compared_as_numbers(cache):
    cache.observe(DEPLOYMENT, thing(9))
    cache.observe(DEPLOYMENT, thing(10))
    assert deployment_version(cache) == 10


def test_a_deleted_object_drops_out_and_no_late_event_brings_it_back(cache):
    cache.observe(DEPLOYMENT, thing(5))
    assert cache.forget(DEPLOYMENT, thing(7)) == {KEY}
    assert cache.observe(DEPLOYMENT, thing(6)) == set()
    assert deployment_version(cache) is None


def test_a_late_deletion_does_not_drop_the_next_object_of_the_name(cache):
    cache.observe(DEPLOYMENT, thing(9))
    assert cache.forget(DEPLOYMENT, thing(7)) == set()
    assert deployment_version(cache) == 9


def test_an_object_that_lost_its_label_is_seen_again_by_a_live_read(cache):
    cache.observe(DEPLOYMENT, thing(5))
    cache.forget(DEPLOYMENT, thing(6))  # what a watch with a selector says
    cache.replace(DEPLOYMENT, Listing(items=[], resource_version=20))
    cache.observe(DEPLOYMENT, thing(6, model=None), live=True)
    assert deployment_version(cache) == 6


def test_a_listing_drops_what_it_does_not_hold(cache):
    cache.observe(DEPLOYMENT, thing(5))
    cache.replace(DEPLOYMENT, Listing(items=[], resource_version=10))
    assert deployment_version(cache) is None


def test_an_event_older_than_the_listing_does_not_bring_back_what_it_lacks(cache):
    cache.replace(DEPLOYMENT, Listing(items=[], resource_version=10))
    assert cache.observe(DEPLOYMENT, thing(9)) == set()
    assert deployment_version(cache) is None


def test_a_listing_neither_drops_nor_overwrites_what_is_newer(cache):
    cache.observe(DEPLOYMENT, thing(12), live=True)
    cache.replace(DEPLOYMENT, Listing(items=[], resource_version=10))
    assert deployment_version(cache) == 12
    cache.replace(DEPLOYMENT, Listing(items=[thing(11)], resource_version=11))
    assert deployment_version(cache) == 12


def test_a_listing_does_not_bring_back_what_was_deleted_after_it(cache):
    cache.observe(DEPLOYMENT, thing(5))
    cache.forget(DEPLOYMENT, thing(12))
    cache.replace(DEPLOYMENT, Listing(items=[thing(5)], resource_version=10))
    assert deployment_version(cache) is None


def test_a_store_put_back_to_an_older_state_is_believed(cache):
    cache.replace(DEPLOYMENT, Listing(items=[thing(90)], resource_version=100))
    cache.replace(DEPLOYMENT, Listing(items=[thing(40)], resource_version=50))
    assert deployment_version(cache) == 40


def test_there_is_no_snapshot_without_a_model():
    assert Cache().snapshot(KEY, now=NOW) is None


def test_a_child_moved_to_another_model_concerns_both(cache):
    cache.observe(POD, thing(5, name="cat-x"))
    assert cache.observe(POD, thing(6, name="cat-x", model="dog")) == {KEY, Key("default", "dog")}
    assert cache.snapshot(KEY, now=NOW).pods == ()


@pytest.mark.parametrize(
    "item",
    [
        thing(
            5, name="cat-0123456789", model=None, ownerReferences=[{"kind": "CatfishModel", "name": "cat"}]
        ),
        thing(5, name="cat-0123456789", model=None),
    ],
    ids=["by its owner", "by its name"],
)
def test_a_revision_without_our_label_is_found(cache, item):
    cache.observe(REVISION, item, live=True)
    assert cache.snapshot(KEY, now=NOW).revisions == (item,)


def test_who_wrote_what_of_a_pod_is_not_kept(cache):
    cache.observe(POD, thing(5, name="cat-x", managedFields=[{}]))
    assert "managedFields" not in cache.snapshot(KEY, now=NOW).pods[0]["metadata"]


def test_a_forgotten_model_leaves_no_index_behind(cache):
    cache.observe(POD, thing(5, name="cat-x"))
    cache.forget(POD, thing(6, name="cat-x"))
    cache.forget(MODEL, thing(7))
    assert len(cache) == 0
    assert list(cache.models()) == []
