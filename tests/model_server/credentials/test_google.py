"""The variables of Google's tools, and what is said of the credential files that hold no key to sign with."""

import json
import subprocess

import pytest

from catfish_server.credentials import google
from catfish_server.credentials.unusable import Unusable
from catfish_server.errors import InvalidSpec
from catfish_server.predictions import destination, stores
from catfish_server.weights import location, signing

KEY = {"type": "service_account", "client_email": "a@b", "private_key_id": "1", "private_key": "hunter2"}


@pytest.fixture(scope="module")
def rsa_key():
    openssl = ["openssl", "genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"]
    return subprocess.run(openssl, capture_output=True, text=True, check=True).stdout


@pytest.fixture(params=["file", "contents"])
def given(request, tmp_path):
    """A function from what is in the file or the variable to the environment and the place that messages name."""

    def env(text):
        if request.param == "contents":
            return {google.CONTENTS: text}, google.CONTENTS
        path = tmp_path / "key.json"
        path.write_text(text)
        return {google.FILE: str(path)}, f"{google.FILE}: {path}"

    return env


def test_the_key_of_a_service_account_is_taken_from_either(given):
    text = json.dumps(KEY)
    env, _ = given(text)
    assert google.service_account_key(env) == text


def test_without_either_there_is_no_key():
    assert google.service_account_key({}) is None


@pytest.mark.parametrize(
    ("kind", "known"),
    [
        ("authorized_user", "the login of a person"),
        ("external_account", "workload identity federation"),
        ("external_account_authorized_user", "workforce identity federation"),
        ("impersonated_service_account", "the impersonation of a service account"),
    ],
)
def test_other_types_of_credentials_are_told_with_what_is_supported(given, kind, known):
    env, place = given(json.dumps({"type": kind, "client_secret": "hunter2", "refresh_token": "hunter2"}))
    with pytest.raises(Unusable) as told:
        google.service_account_key(env)
    assert str(told.value) == (
        f"{place} is of the type {kind} ({known}); only the key of a service account is supported here (its type is "
        "service_account)"
    )


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("hunter2", "is not JSON"),
        (json.dumps(KEY)[:-1], "is not JSON"),
        ('["hunter2"]', "is not a JSON object"),
        ('{"type": "hunter2"}', "is of a type that is not known; only the key of a service account"),
        ('{"type": ["hunter2"]}', "is of a type that is not known; only the key of a service account"),
        (json.dumps(KEY | {"private_key": 5}), "is the key of a service account without private_key"),
        (json.dumps({"client_email": "hunter2"}), "is the key of a service account without private_key"),
        (json.dumps(KEY | {"client_email": None}), "is the key of a service account without client_email"),
        ("[" * 100_000, "is not JSON"),
    ],
)
def test_what_is_no_key_is_told_by_its_place_and_not_shown(given, text, says):
    env, place = given(text)
    with pytest.raises(Unusable) as told:
        google.service_account_key(env)
    assert str(told.value).startswith(f"{place} {says}")
    assert "hunter2" not in str(told.value)


def test_a_file_that_is_not_there_or_no_text_is_named(tmp_path):
    with pytest.raises(
        Unusable, match=r"^GOOGLE_APPLICATION_CREDENTIALS: /nowhere/key\.json does not exist$"
    ):
        google.service_account_key({google.FILE: "/nowhere/key.json"})
    for path in (tmp_path, tmp_path / "binary"):
        (tmp_path / "binary").write_bytes(b"\xff\x00")
        with pytest.raises(Unusable, match=rf"^{google.FILE}: {path} cannot be read as a text file$"):
            google.service_account_key({google.FILE: str(path)})


@pytest.mark.parametrize(
    "private_key", ["hunter2", "-----BEGIN PRIVATE KEY-----\naHVudGVyMg==\n-----END PRIVATE KEY-----\n"]
)
def test_a_private_key_that_signs_nothing_ends_the_start_of_both_with_its_place(given, private_key):
    env, place = given(json.dumps(KEY | {"private_key": private_key}))
    says = f"{place}: its private_key is not an RSA key in PEM"
    with pytest.raises(InvalidSpec) as weights:
        signing.request_url(location.parse("gs://models/c.pt"), endpoint=None, env=env)
    with pytest.raises(InvalidSpec) as log:
        stores.store(destination.of_url("gs://logs"), endpoint=None, env=env)
    for told in (str(weights.value), str(log.value)):
        assert says in told
        assert "hunter2" not in told
        assert "aHVudGVyMg" not in told


def test_the_weights_own_key_in_the_process_does_not_get_in_the_way_of_the_logs_file(
    tmp_path, monkeypatch, rsa_key
):
    path = tmp_path / "key.json"
    path.write_text(json.dumps(KEY | {"private_key": rsa_key}))
    monkeypatch.setenv(google.CONTENTS, json.dumps(KEY | {"private_key": rsa_key, "client_email": "weights"}))
    stores.store(destination.of_url("gs://logs"), endpoint=None, env={google.FILE: str(path)})
