from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from catfish_server.errors import InvalidSpec
from catfish_server.weights import location
from catfish_server.weights.location import Location

KEYS = {"AWS_ACCESS_KEY_ID": "catfish", "AWS_SECRET_ACCESS_KEY": "hunter2"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("cat.pt", Location(kind="file", shown="cat.pt", path=Path("cat.pt"))),
        ("/a b/c.pt", Location(kind="file", shown="/a b/c.pt", path=Path("/a b/c.pt"))),
        ("file:///a%20b/c.pt", Location(kind="file", shown="file:///a%20b/c.pt", path=Path("/a b/c.pt"))),
        (
            "https://h:8443/c.pt?token=hunter2#x",
            Location(kind="http", shown="https://h:8443/c.pt", url="https://h:8443/c.pt?token=hunter2"),
        ),
        ("HTTP://h/c.pt", Location(kind="http", shown="http://h/c.pt", url="http://h/c.pt")),
        (
            "s3://models/a/b.pt",
            Location(kind="s3", shown="s3://models/a/b.pt", bucket="models", key="a/b.pt"),
        ),
    ],
)
def test_a_location_is_read_and_shown_without_its_query(text: str, expected: Location) -> None:
    assert location.parse(text) == expected


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("gs://models/a.pt", "gs:// is not supported; use a path, file://, http://, https:// or s3://"),
        ("az://a/b", "az:// is not supported"),
        ("pvc://a/b", "pvc:// is not supported"),
        ("ftp://h/a", "ftp:// is not supported"),
        ("https://user:hunter2@h/c.pt", "no user name or password"),
        ("s3://key:hunter2@models/c.pt", "no user name or password"),
        ("https:///c.pt", "lacks a host"),
        ("https://h:0/c.pt", "lacks a host"),
        ("https://h:port/c.pt", "is not a URL"),
        ("https://[::1/c.pt", "is not a URL"),
        ("s3://models", "lacks a host, a bucket or a path"),
        ("s3://models/", "lacks a host, a bucket or a path"),
        ("file://host/c.pt", "lacks a host, a bucket or a path"),
        ("https://h/c.pt\r\nX-Evil: 1", "character"),
        ("https://h/a b.pt", "character"),
    ],
)
def test_what_cannot_be_a_location_is_refused_by_name(text: str, says: str) -> None:
    with pytest.raises(InvalidSpec, match=r"^spec\.weights\.url: ") as refused:
        location.parse(text)
    assert says in str(refused.value)
    assert "hunter2" not in str(refused.value)


def test_a_key_of_a_bucket_is_signed_for_at_the_given_endpoint() -> None:
    where = location.parse("s3://models/a b/c+d.pt".replace(" ", "%20"))
    signed = urlsplit(
        location.request_url(where, endpoint="http://store:9000", env=KEYS | {"AWS_REGION": "eu-1"})
    )
    assert (signed.scheme, signed.netloc) == ("http", "store:9000")
    assert signed.path == "/models/a%2520b/c%2Bd.pt"
    assert "catfish/" in parse_qs(signed.query)["X-Amz-Credential"][0]
    assert "/eu-1/s3/" in parse_qs(signed.query)["X-Amz-Credential"][0]
    assert "hunter2" not in signed.geturl()


def test_without_credentials_a_bucket_is_read_anonymously() -> None:
    where = location.parse("s3://models/c.pt")
    assert (
        location.request_url(where, endpoint="http://store:9000", env={}) == "http://store:9000/models/c.pt"
    )


def test_the_credentials_are_those_of_the_environment_that_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "somebody-else")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "somebody-else")
    where = location.parse("s3://models/c.pt")
    assert "Credential=catfish%2F" in location.request_url(where, endpoint="http://store", env=KEYS)
