"""Weights of any size take no more memory than small ones: streamed from a real nginx and a real S3 server."""

import pytest

from benchmarks import fetch
from localcluster.store import BUCKET, Store

pytestmark = pytest.mark.integration
SIZE = 512 * fetch.MIB


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    directory = tmp_path_factory.mktemp("store")
    with Store.start_in(directory) as started:
        path = started.files / BUCKET / fetch.NAME
        yield started, fetch.make_file(path, SIZE)
        path.unlink()


@pytest.mark.parametrize("by", ["http", "s3"])
def test_memory_grows_by_64_mib_at_most_while_512_mib_are_fetched(store, tmp_path, by):
    found = fetch.measure(store[0], by, store[1], tmp_path)
    assert (found.right, round(found.megabytes)) == (True, round(SIZE / 1e6))
    assert found.growth_mib <= fetch.BOUND_MIB
    assert list(tmp_path.iterdir()) == []


def test_a_growth_beyond_the_bound_would_be_seen(monkeypatch, tmp_path):
    """What the kernel counts as the peak rises by what is taken and given back meanwhile."""

    def wasteful(where, **options):
        waste = bytearray(b"x" * (100 * fetch.MIB))
        del waste
        return real(where, **options)

    real = fetch.fetch.fetch
    monkeypatch.setattr(fetch.fetch, "fetch", wasteful)
    (tmp_path / "small").write_bytes(b"x")
    found = fetch.fetch_here("http", str(tmp_path / "small"), None, tmp_path, "")
    assert found.growth_mib > fetch.BOUND_MIB
