"""The real S3 server of the local cluster, on loopback."""

import pytest

from catfish_server import errors
from catfish_server.weights import fetch, location
from catfish_server.weights.download import Limits
from localcluster.store import REGION, Store

pytestmark = pytest.mark.integration

DATA = bytes(range(256)) * 4096


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    with Store.start_in(tmp_path_factory.mktemp("store")) as started:
        (started.files / "models" / "a b+c.pt").write_bytes(DATA)
        (started.files / "models" / "w.pt").write_bytes(DATA)
        yield started


@pytest.fixture
def fetched(store, tmp_path):
    def run(url, *, secret=store.secret_key, env=None):
        keys = {"AWS_ACCESS_KEY_ID": store.access_key, "AWS_SECRET_ACCESS_KEY": secret, "AWS_REGION": REGION}
        return fetch.fetch(
            location.parse(url),
            directory=tmp_path,
            sha256=None,
            endpoint=store.s3_url,
            env=keys if env is None else env,
            progress=lambda _done, _total: None,
            limits=Limits(stall_seconds=5, backoff_seconds=0.01),
        )

    return run


@pytest.mark.parametrize("key", ["w.pt", "a b+c.pt"])
def test_a_key_of_a_bucket_arrives_whole(fetched, key):
    assert fetched(f"s3://models/{key}").path.read_bytes() == DATA


def test_a_key_that_is_not_there_is_not_found(fetched):
    with pytest.raises(
        errors.WeightsNotFound, match=r"s3://models/nothing\.pt answered with status 404 \(NoSuchKey\)"
    ):
        fetched("s3://models/nothing.pt")


def test_a_bucket_that_is_not_there_is_not_found(fetched):
    with pytest.raises(errors.WeightsNotFound, match="NoSuchBucket"):
        fetched("s3://nothing/w.pt")


@pytest.mark.parametrize(
    "wrong",
    [
        pytest.param({"secret": "hunter2-hunter2"}, id="wrong-secret"),
        pytest.param(
            {"env": {"AWS_ACCESS_KEY_ID": "nobody", "AWS_SECRET_ACCESS_KEY": "hunter2"}}, id="wrong-key"
        ),
        pytest.param({"env": {}}, id="no-keys"),
    ],
)
def test_wrong_or_missing_keys_are_forbidden_and_never_shown(fetched, store, wrong):
    with pytest.raises(errors.WeightsForbidden, match=r"spec\.weights\.credentialsSecretRef") as failed:
        fetched("s3://models/w.pt", **wrong)
    for secret in ("hunter2", store.secret_key, "X-Amz"):
        assert secret not in str(failed.value)
