"""The variables of Azure's tools. That keys and tokens open a store is asked of Azurite (`weights/test_azure.py`)."""

import base64

import pytest

from catfish_server.credentials import azure
from catfish_server.credentials.azure import Access
from catfish_server.credentials.unusable import Unusable

SECRET = b"hunter2-hunter2"
KEY = base64.b64encode(SECRET).decode()
EMULATOR = base64.b64decode(azure.EMULATOR["accountkey"])


def of(text, endpoint=None, **env):
    return azure.access({"AZURE_STORAGE_CONNECTION_STRING": text} | env, endpoint=endpoint)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param(
            f"DefaultEndpointsProtocol=https;AccountName=acc;AccountKey={KEY};EndpointSuffix=core.windows.net",
            Access(account="acc", base="https://acc.blob.core.windows.net", key=SECRET),
            id="as-the-portal-shows-it",
        ),
        pytest.param(
            f"AccountName=acc;AccountKey={KEY}",
            Access(account="acc", base="https://acc.blob.core.windows.net", key=SECRET),
            id="the-least",
        ),
        pytest.param(
            f"  accountname=acc;ACCOUNTKEY={KEY};EndpointSuffix=core.chinacloudapi.cn;\n",
            Access(account="acc", base="https://acc.blob.core.chinacloudapi.cn", key=SECRET),
            id="another-cloud-in-another-case",
        ),
        pytest.param(
            f"BlobEndpoint=https://models.example.com/;AccountName=acc;AccountKey={KEY}",
            Access(account="acc", base="https://models.example.com", key=SECRET),
            id="a-domain-of-ones-own",
        ),
        pytest.param(
            "BlobEndpoint=https://acc.blob.core.windows.net/;QueueEndpoint=https://acc.queue.core.windows.net/;"
            "SharedAccessSignature=sv=2023-11-03&sr=c&sig=a%2Bb%3D",
            Access(
                account="acc",
                base="https://acc.blob.core.windows.net",
                token="sv=2023-11-03&sr=c&sig=a%2Bb%3D",
            ),
            id="a-token",
        ),
        pytest.param(
            "AccountName=acc;SharedAccessSignature=?sv=1&sig=x",
            Access(account="acc", base="https://acc.blob.core.windows.net", token="sv=1&sig=x"),
            id="a-token-and-an-account",
        ),
        pytest.param(
            "BlobEndpoint=http://azurite:10000/devstoreaccount1;SharedAccessSignature=sig=x",
            Access(account="devstoreaccount1", base="http://azurite:10000/devstoreaccount1", token="sig=x"),
            id="an-account-in-the-path",
        ),
        pytest.param(
            "BlobEndpoint=https://acc.blob.core.windows.net",
            Access(account="acc", base="https://acc.blob.core.windows.net"),
            id="anonymous",
        ),
        pytest.param(
            "UseDevelopmentStorage=true",
            Access(account="devstoreaccount1", base="http://127.0.0.1:10000/devstoreaccount1", key=EMULATOR),
            id="the-emulator",
        ),
    ],
)
def test_a_connection_string_means_an_account_its_address_and_what_opens_it(text, expected):
    assert of(text) == expected
    others = {
        "AZURE_STORAGE_ACCOUNT": "other",
        "AZURE_STORAGE_KEY": "b3RoZXI=",
        "AZURE_STORAGE_SAS_TOKEN": "o",
    }
    assert of(text, **others) == expected


def test_an_endpoint_that_is_asked_for_goes_before_that_of_the_connection_string():
    found = of("UseDevelopmentStorage=true", endpoint="http://azurite:9/devstoreaccount1/")
    assert (found.base, found.key) == ("http://azurite:9/devstoreaccount1", EMULATOR)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("hunter2", "part 1 of those between semicolons is not Name=value"),
        (f"AccountName=acc;{KEY}", "part 2 of those between semicolons is not Name=value"),
        (
            "Endpoint=sb://hunter2;SharedAccessKey=hunter2",
            "is not the connection string of a storage account",
        ),
        ("AccountName=acc;AccountKey=hunter2!", "AccountKey is not the key of an account: it is not base64"),
        (f"AccountKey={KEY}", "has neither AccountName nor BlobEndpoint"),
        (f"BlobEndpoint=https://a;AccountKey={KEY}", "has AccountKey and no AccountName"),
        ("AccountName=hunter2", "has neither AccountKey nor SharedAccessSignature"),
        ("UseDevelopmentStorage=hunter2", "has neither AccountName nor BlobEndpoint"),
        ("BlobEndpoint=hunter2;SharedAccessSignature=s", "BlobEndpoint must be http:// or https://"),
        ("BlobEndpoint=https://a/?sig=hunter2;AccountName=a", "BlobEndpoint must be http:// or https://"),
        ("BlobEndpoint=https://me:hunter2@a;AccountName=a", "BlobEndpoint must be http:// or https://"),
        ("BlobEndpoint=https://a:hunter2;AccountName=a", "BlobEndpoint must be http:// or https://"),
        (f"DefaultEndpointsProtocol=ftp;AccountName=hunter2;AccountKey={KEY}", "make no address"),
        (f"AccountName=hunter2/a b;AccountKey={KEY}", "make no address"),
    ],
)
def test_a_connection_string_that_is_none_is_told_without_what_it_holds(text, says):
    with pytest.raises(Unusable, match=r"^AZURE_STORAGE_CONNECTION_STRING: ") as told:
        of(text)
    assert says in str(told.value)
    for secret in ("hunter2", KEY):
        assert secret not in str(told.value)


@pytest.mark.parametrize("variable", ["AZURE_STORAGE_KEY", "AZURE_STORAGE_ACCOUNT_KEY"])
def test_a_key_that_is_none_is_told_by_its_variable(variable):
    env = {"AZURE_STORAGE_ACCOUNT": "acc", variable: "hunter2!"}
    with pytest.raises(Unusable, match=rf"^{variable} is not the key of an account: it is not base64$"):
        azure.access(env, endpoint=None)


def test_without_an_account_it_is_told_what_to_set():
    with pytest.raises(Unusable, match=r"set AZURE_STORAGE_ACCOUNT or AZURE_STORAGE_CONNECTION_STRING$"):
        azure.access({"AZURE_STORAGE_KEY": KEY}, endpoint=None)


def test_no_secret_is_in_what_is_printed_of_an_access():
    shown = repr(of(f"AccountName=acc;AccountKey={KEY};SharedAccessSignature=sig=hunter2"))
    assert "hunter2" not in shown
    assert shown == "Access(account='acc', base='https://acc.blob.core.windows.net')"
