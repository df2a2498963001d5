"""Keys in the files of the AWS tools, asked of a store that knows only the right ones (versitygw), and looked at on
their way to one that takes a session token (moto)."""

import pytest

from catfish_server import errors
from catfish_server.predictions import destination, stores
from catfish_server.predictions.sinks.objects import Objects
from localcluster.store import REGION, Store
from tests.model_server.predictions.conftest import batch

from . import emulators, recorder

pytestmark = pytest.mark.integration

DATA = b"weights" * 1000


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    with Store.start_in(tmp_path_factory.mktemp("store")) as started:
        (started.files / "models" / "w.pt").write_bytes(DATA)
        yield started


@pytest.fixture(scope="module")
def amazon(tmp_path_factory):
    with emulators.amazon(tmp_path_factory.mktemp("amazon")) as started:
        started.put("models", "w.pt", DATA)
        yield started


@pytest.fixture
def files(tmp_path):
    """Writes both files into a home directory and returns its environment."""

    def write(credentials, config):
        (tmp_path / ".aws").mkdir()
        (tmp_path / ".aws" / "credentials").write_text(credentials)
        (tmp_path / ".aws" / "config").write_text(config)
        return {"HOME": str(tmp_path)}

    return write


def section(name, key, secret, *more):
    return "\n".join(
        [f"[{name}]", f"aws_access_key_id = {key}", f"aws_secret_access_key = {secret}", *more, ""]
    )


@pytest.fixture
def env(files, store):
    """A profile with the store's keys, its region and its address, beside a default one that the store refuses."""
    credentials = section("default", "nobody", "hunter2") + section("lab", store.access_key, store.secret_key)
    config = f"[profile lab]\nregion = {REGION}\nendpoint_url = {store.s3_url}\n"
    return files(credentials, config) | {"AWS_PROFILE": "lab"}


def test_the_keys_the_region_and_the_address_of_a_profile_open_a_store(fetched, env):
    assert fetched("s3://models/w.pt", env=env).path.read_bytes() == DATA


@pytest.mark.parametrize("variable", ["AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"])
def test_an_address_in_a_variable_leads_to_a_store(fetched, files, store, variable):
    keys = section("default", store.access_key, store.secret_key)
    env = files(keys, f"[default]\nregion = {REGION}\n") | {variable: store.s3_url}
    assert fetched("s3://models/w.pt", env=env).path.read_bytes() == DATA


def test_another_profile_is_refused_by_the_store(fetched, env, store):
    del env["AWS_PROFILE"]
    with pytest.raises(errors.WeightsForbidden, match=r"spec\.weights\.credentialsSecretRef") as failed:
        fetched("s3://models/w.pt", env=env, endpoint=store.s3_url)
    assert "hunter2" not in str(failed.value)


def test_the_log_is_written_with_the_keys_of_a_profile(env, store):
    log = stores.store(destination.of_url("s3://models/log"), endpoint=None, env=env)
    assert Objects(log, prefix="log").write(batch("1")) == 0
    assert len(list((store.files / "models" / "log").rglob("*.jsonl.gz"))) == 1


def test_a_profile_that_cannot_be_followed_ends_the_start_of_both(fetched, files):
    env = files("", "[profile lab]\nsso_session = hunter2\n") | {"AWS_PROFILE": "lab"}
    says = r"the AWS profile lab gets its keys by sso_session, which is not supported here"
    with pytest.raises(
        errors.InvalidSpec, match=rf"^spec\.weights\.url: s3://models/w\.pt cannot be signed for: {says}"
    ) as failed:
        fetched("s3://models/w.pt", env=env)
    assert "hunter2" not in str(failed.value)
    with pytest.raises(errors.InvalidSpec, match=rf"^spec\.logging\.predictions\.url: .*: {says}"):
        stores.store(destination.of_url("s3://models/log"), endpoint=None, env=env)


FOREIGN = {"AWS_ACCESS_KEY_ID": "weights", "AWS_SECRET_ACCESS_KEY": "weights", "AWS_SESSION_TOKEN": "weights"}


@pytest.mark.parametrize("used_by", ["weights", "log"])
@pytest.mark.parametrize(
    ("token", "seen"), [("aws_session_token = of-session", "of-session"), ("", None)], ids=["session", "none"]
)
def test_the_key_and_the_token_of_the_profile_reach_the_store_and_no_others(  # noqa: PLR0917 (fixtures)
    amazon, files, fetched, monkeypatch, used_by, token, seen
):
    for name, value in FOREIGN.items():
        monkeypatch.setenv(name, value)
    env = files(section("lab", "of-lab", "hunter2", token), "") | {"AWS_PROFILE": "lab"}
    with recorder.in_front_of(amazon.url) as between:
        # The process's own address of S3 leads nowhere: the one that was asked for goes before it.
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:1")
        if used_by == "weights":
            fetched("s3://models/w.pt", env=env, endpoint=between.url)
        else:
            log = stores.store(destination.of_url("s3://models/log"), endpoint=between.url, env=env)
            Objects(log, prefix="log").write(batch("1"))
    assert between.seen == [("of-lab", seen)]
