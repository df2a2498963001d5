from urllib.parse import parse_qs, urlsplit

import pytest

from catfish_server.errors import InvalidSpec
from catfish_server.weights import location, signing

KEYS = {"AWS_ACCESS_KEY_ID": "catfish", "AWS_SECRET_ACCESS_KEY": "hunter2"}


def test_a_key_of_a_bucket_is_signed_for_at_the_given_endpoint() -> None:
    where = location.parse("s3://models/a b/c+d.pt".replace(" ", "%20"))
    signed = urlsplit(
        signing.request_url(where, endpoint="http://store:9000", env=KEYS | {"AWS_REGION": "eu-1"})
    )
    assert (signed.scheme, signed.netloc) == ("http", "store:9000")
    assert signed.path == "/models/a%2520b/c%2Bd.pt"
    assert "catfish/" in parse_qs(signed.query)["X-Amz-Credential"][0]
    assert "/eu-1/s3/" in parse_qs(signed.query)["X-Amz-Credential"][0]
    assert "hunter2" not in signed.geturl()


def test_without_credentials_a_bucket_is_read_anonymously() -> None:
    where = location.parse("s3://models/c.pt")
    assert signing.request_url(where, endpoint="http://store:9000", env={}) == "http://store:9000/models/c.pt"


def test_the_credentials_are_those_of_the_environment_that_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "somebody-else")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "somebody-else")
    where = location.parse("s3://models/c.pt")
    assert "Credential=catfish%2F" in signing.request_url(where, endpoint="http://store", env=KEYS)


def test_azure_needs_the_name_of_the_account() -> None:
    with pytest.raises(
        InvalidSpec,
        match=r"^spec\.weights\.url: az://models/c\.pt .* set AZURE_STORAGE_ACCOUNT or .*credentialsSecretRef",
    ):
        signing.request_url(location.parse("az://models/c.pt"), endpoint=None, env={})


@pytest.mark.parametrize(
    ("env", "expected"),
    [
        ({}, "https://acc.blob.core.windows.net/models/a%20b.pt"),
        (
            {"AZURE_STORAGE_SAS_TOKEN": "?sv=1&sig=x"},
            "https://acc.blob.core.windows.net/models/a%20b.pt?sv=1&sig=x",
        ),
    ],
)
def test_the_address_of_azure_is_that_of_the_account(env: dict[str, str], expected: str) -> None:
    env = {"AZURE_STORAGE_ACCOUNT_NAME": "acc", **env}
    assert signing.request_url(location.parse("az://models/a b.pt"), endpoint=None, env=env) == expected


def test_the_key_of_azure_is_not_in_the_address() -> None:
    env = {"AZURE_STORAGE_ACCOUNT": "acc", "AZURE_STORAGE_ACCOUNT_KEY": "aHVudGVyMg=="}
    signed = urlsplit(signing.request_url(location.parse("az://models/c.pt"), endpoint=None, env=env))
    fields = parse_qs(signed.query)
    assert {name: fields[name] for name in ("sv", "sr", "sp")} == {
        "sv": ["2023-11-03"],
        "sr": ["b"],
        "sp": ["r"],
    }
    assert "aHVudGVyMg" not in signed.geturl()


def test_without_credentials_google_is_read_anonymously() -> None:
    where = location.parse("gs://models/a b.pt")
    assert (
        signing.request_url(where, endpoint=None, env={}) == "https://storage.googleapis.com/models/a%20b.pt"
    )


def test_an_address_that_is_none_is_told_with_where_to_look() -> None:
    with pytest.raises(
        InvalidSpec, match=r"^spec\.weights\.url: .* check the keys in .*spec\.weights\.endpoint"
    ):
        signing.request_url(location.parse("s3://models/c.pt"), endpoint="hunter2", env=KEYS)
