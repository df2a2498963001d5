"""Connection strings, asked of Azurite, which checks the signature of every key and token."""

import base64
import hashlib
import hmac
from datetime import UTC, datetime, timedelta
from urllib.parse import urlencode

import pytest

from catfish_server import errors
from catfish_server.predictions import destination, stores
from catfish_server.predictions.sinks.objects import Objects
from tests.model_server.predictions.conftest import batch

from . import emulators

pytestmark = pytest.mark.integration

DATA = b"weights" * 1000
WRONG = base64.b64encode(b"hunter2" * 9).decode()


@pytest.fixture(scope="module")
def azure(tmp_path_factory):
    with emulators.azure(tmp_path_factory.mktemp("azure")) as started:
        started.put("models", "a/b c+d.pt", DATA)
        yield started


def token(*, key=emulators.KEY, may="rwlc"):
    """A shared access signature of the account: https://learn.microsoft.com/rest/api/storageservices/create-account-sas."""
    end = (datetime.now(UTC) + timedelta(hours=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
    lines = [emulators.ACCOUNT, may, "b", "sco", "", end, "", "", "2023-11-03", "", ""]
    signed = hmac.new(base64.b64decode(key), "\n".join(lines).encode(), hashlib.sha256).digest()
    fields = {"sv": "2023-11-03", "ss": "b", "srt": "sco", "sp": may, "se": end}
    return urlencode(fields | {"sig": base64.b64encode(signed).decode()})


STRINGS = {
    "key": "AccountName={account};AccountKey={key};BlobEndpoint={url};",
    "token": "BlobEndpoint={url}/;SharedAccessSignature={token}",
    "emulator": "UseDevelopmentStorage=true",
}


@pytest.fixture(params=[*STRINGS, "variables"])
def opened(request, azure):
    """The endpoint and the environment of a connection string, or of a token in a variable of its own.

    The string of the emulator says another port than here.
    """
    if request.param == "variables":
        return azure.url, {
            "AZURE_STORAGE_ACCOUNT": emulators.ACCOUNT,
            "AZURE_STORAGE_SAS_TOKEN": f"?{token()}",
        }
    text = STRINGS[request.param].format(
        account=emulators.ACCOUNT, key=emulators.KEY, url=azure.url, token=token()
    )
    endpoint = azure.url if request.param == "emulator" else None
    return endpoint, {"AZURE_STORAGE_CONNECTION_STRING": text}


def test_the_weights_are_read_with_a_connection_string(fetched, opened):
    endpoint, env = opened
    found = fetched("az://models/a/b c+d.pt", endpoint=endpoint, env=env)
    assert found.path.read_bytes() == DATA


def test_the_log_is_written_with_a_connection_string(opened):
    endpoint, env = opened
    log = stores.store(destination.of_url("az://models/log"), endpoint=endpoint, env=env)
    assert Objects(log, prefix="log").write(batch("1")) == 0


@pytest.mark.parametrize(
    "text",
    [
        f"AccountName={emulators.ACCOUNT};AccountKey={WRONG};BlobEndpoint=URL",
        f"BlobEndpoint=URL;SharedAccessSignature={token(key=WRONG)}",
        f"BlobEndpoint=URL;SharedAccessSignature={token(may='w')}",
        "BlobEndpoint=URL",
    ],
    ids=["wrong-key", "wrong-token", "token-for-writing", "anonymous"],
)
def test_one_that_azure_refuses_is_told_and_not_shown(azure, fetched, text):
    env = {"AZURE_STORAGE_CONNECTION_STRING": text.replace("URL", azure.url)}
    with pytest.raises(errors.WeightsForbidden, match=r"spec\.weights\.credentialsSecretRef") as failed:
        fetched("az://models/a/b c+d.pt", env=env)
    for secret in (WRONG, "sig=", "AccountKey"):
        assert secret not in str(failed.value)


@pytest.mark.parametrize("text", [f"AccountName=a;AccountKey={WRONG}!", f"AccountName=a;{WRONG}"])
def test_a_malformed_one_ends_the_start_of_both_and_is_not_shown(fetched, text):
    env = {"AZURE_STORAGE_CONNECTION_STRING": text}
    told = []
    with pytest.raises(
        errors.InvalidSpec, match=r"^spec\.weights\.url: az://models/w\.pt cannot be sig"
    ) as one:
        fetched("az://models/w.pt", env=env)
    told.append(str(one.value))
    with pytest.raises(
        errors.InvalidSpec, match=r"^spec\.logging\.predictions\.url: the store cannot "
    ) as two:
        stores.store(destination.of_url("az://logs"), endpoint=None, env=env)
    told.append(str(two.value))
    assert all("AZURE_STORAGE_CONNECTION_STRING: " in text and WRONG not in text for text in told)
