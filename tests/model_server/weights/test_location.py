from pathlib import Path

import pytest

from catfish_server.errors import InvalidSpec
from catfish_server.weights import location
from catfish_server.weights.location import Location


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
        (
            "gs://models/a b.pt",
            Location(kind="gs", shown="gs://models/a b.pt", bucket="models", key="a b.pt"),
        ),
        ("az://models/a.pt", Location(kind="az", shown="az://models/a.pt", bucket="models", key="a.pt")),
        (
            "pvc://claim/a%20b/c.pt",
            Location(kind="file", shown="pvc://claim/a%20b/c.pt", path=Path("/mnt/pvc/claim/a b/c.pt")),
        ),
    ],
)
def test_a_location_is_read_and_shown_without_its_query(text: str, expected: Location) -> None:
    assert location.parse(text) == expected


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (
            "ftp://h/a",
            "ftp:// is not supported; use a path, file://, pvc://, http://, https://, s3://, gs:// or az://",
        ),
        ("pvc://claim/../etc/passwd", "leads out of its volume"),
        ("pvc://claim/a/%2e%2e/%2E%2E/b", "leads out of its volume"),
        ("pvc://claim", "lacks a host, a bucket or a path"),
        ("gs://models", "lacks a host, a bucket or a path"),
        ("az://key:hunter2@models/c.pt", "no user name or password"),
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
