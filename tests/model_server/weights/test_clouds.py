"""The clouds' stores, as their emulators speak."""

import base64
import json
import subprocess

import pytest

from catfish_server import errors
from catfish_server.weights import fetch, location
from catfish_server.weights.download import Limits

from . import emulators

pytestmark = pytest.mark.integration

DATA = bytes(range(256)) * 4096


@pytest.fixture(scope="module")
def google(tmp_path_factory):
    with emulators.google(tmp_path_factory.mktemp("google")) as started:
        for key in ("w.pt", "a/b c+d.pt"):
            started.put("models", key, DATA)
        yield started


@pytest.fixture(scope="module")
def azure(tmp_path_factory):
    with emulators.azure(tmp_path_factory.mktemp("azure")) as started:
        for key in ("w.pt", "a/b c+d.pt"):
            started.put("models", key, DATA)
        yield started


@pytest.fixture(scope="module")
def account(tmp_path_factory):
    """The key file of a service account."""
    path = tmp_path_factory.mktemp("account") / "key.json"
    openssl = ["openssl", "genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"]
    key = subprocess.run(openssl, capture_output=True, text=True, check=True).stdout
    fields = {
        "type": "service_account",
        "client_email": "a@b.example",
        "private_key_id": "1",
        "private_key": key,
    }
    path.write_text(json.dumps(fields))
    return path


@pytest.fixture
def fetched(tmp_path):
    def run(url, endpoint, env):
        return fetch.fetch(
            location.parse(url),
            directory=tmp_path,
            sha256=None,
            endpoint=endpoint,
            env=env,
            progress=lambda _done, _total: None,
            limits=Limits(stall_seconds=10, backoff_seconds=0.01),
        )

    return run


AZURE_KEYS = {"AZURE_STORAGE_ACCOUNT": emulators.ACCOUNT, "AZURE_STORAGE_KEY": emulators.KEY}


@pytest.mark.parametrize("key", ["w.pt", "a/b c+d.pt"])
def test_a_blob_of_azure_arrives_whole(azure, fetched, key):
    assert fetched(f"az://models/{key}", azure.url, AZURE_KEYS).path.read_bytes() == DATA


@pytest.mark.parametrize("key", ["w.pt", "a/b c+d.pt"])
@pytest.mark.parametrize("keys", ["anonymous", "file", "contents"])
def test_an_object_of_google_arrives_whole(google, fetched, account, key, keys):
    env = {
        "anonymous": {},
        "file": {"GOOGLE_APPLICATION_CREDENTIALS": str(account)},
        "contents": {"GOOGLE_SERVICE_ACCOUNT_KEY": account.read_text()},
    }[keys]
    assert fetched(f"gs://models/{key}", google.url, env).path.read_bytes() == DATA


def test_what_is_not_there_is_not_found(azure, google, fetched):
    for url, endpoint, env in (
        ("gs://models/nothing.pt", google.url, {}),
        ("gs://nothing/w.pt", google.url, {}),
        ("az://models/nothing.pt", azure.url, AZURE_KEYS),
        ("az://nothing/w.pt", azure.url, AZURE_KEYS),
    ):
        with pytest.raises(
            errors.WeightsNotFound, match=rf"^spec\.weights\.url: {url} answered with status 404"
        ):
            fetched(url, endpoint, env)


@pytest.mark.parametrize(
    "env",
    [
        pytest.param({"AZURE_STORAGE_KEY": base64.b64encode(b"hunter2" * 9).decode()}, id="wrong-key"),
        pytest.param({"AZURE_STORAGE_SAS_TOKEN": "sv=2023-11-03&sr=b&sp=r&sig=hunter2"}, id="wrong-token"),
        pytest.param({}, id="no-key"),
    ],
)
def test_wrong_or_missing_keys_of_azure_are_forbidden_and_never_shown(azure, fetched, env):
    with pytest.raises(errors.WeightsForbidden, match=r"spec\.weights\.credentialsSecretRef") as failed:
        fetched("az://models/w.pt", azure.url, {"AZURE_STORAGE_ACCOUNT": emulators.ACCOUNT, **env})
    for secret in ("hunter2", "sig=", *env.values()):
        assert secret not in str(failed.value)


KEYS = {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "hunter2", "AWS_REGION": "eu-central-1"}


@pytest.fixture(scope="module")
def amazon(tmp_path_factory):
    with emulators.amazon(tmp_path_factory.mktemp("amazon")) as started:
        for key in ("w.pt", "a/b c+d.pt"):
            started.put("models", key, DATA)
        yield started


@pytest.mark.parametrize("key", ["w.pt", "a/b c+d.pt"])
def test_a_key_of_amazon_arrives_whole(amazon, fetched, key):
    assert fetched(f"s3://models/{key}", amazon.url, KEYS).path.read_bytes() == DATA


@pytest.mark.parametrize(
    ("url", "says"), [("s3://models/no.pt", "NoSuchKey"), ("s3://no/w.pt", "NoSuchBucket")]
)
def test_what_amazon_does_not_have_is_not_found(amazon, fetched, url, says):
    with pytest.raises(errors.WeightsNotFound, match=says):
        fetched(url, amazon.url, KEYS)


def test_a_bucket_of_amazon_that_is_not_public_needs_keys(amazon, fetched):
    with pytest.raises(errors.WeightsForbidden, match=r"credentialsSecretRef"):
        fetched("s3://models/w.pt", amazon.url, {"AWS_REGION": "eu-central-1"})


def test_what_is_public_needs_no_keys(amazon, azure, fetched):
    amazon.put("public", "w.pt", DATA, public=True)
    azure.put("public", "w.pt", DATA, public=True)
    assert fetched("s3://public/w.pt", amazon.url, {}).path.read_bytes() == DATA
    account = {"AZURE_STORAGE_ACCOUNT": emulators.ACCOUNT}
    assert fetched("az://public/w.pt", azure.url, account).path.read_bytes() == DATA
