"""From a location to an address that a plain GET understands: what lies in a store becomes a signed URL.

So one client with one set of limits reads from everywhere. An address made here holds a signature and must not be
shown to anybody.
"""

import base64
import hashlib
import hmac
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote, urlencode

import obstore
from obstore.store import GCSStore

from catfish_server.credentials import amazon, azure, google
from catfish_server.credentials.unusable import Unusable
from catfish_server.errors import InvalidSpec
from catfish_server.weights.location import Location
from catfish_server.weights.transport import Interrupted

SIGNED_FOR = timedelta(hours=1)
"""How long a signed address can be used; each try signs anew, so this bounds one try alone."""

CLOCK_SKEW = timedelta(minutes=5)
"""How far Azure's clock may be behind this one."""

CLIENT: Any = {"timeout": "10s", "connect_timeout": "5s", "allow_http": True}
RETRIES: Any = {"max_retries": 0, "retry_timeout": timedelta(seconds=10)}
"""For the keys of a pod's identity: the download tries again by itself, and the client hears no signal meanwhile."""

GOOGLE = "https://storage.googleapis.com"

AZURE_VERSION = "2023-11-03"
"""Of the service; it decides which lines are signed, and in which order."""

AZURE_FIELDS_AFTER = 7
"""Lines of a service SAS of that version after its kind, all empty here: snapshot, encryption scope, headers."""


def request_url(location: Location, *, endpoint: str | None, env: Mapping[str, str]) -> str:
    """The address to ask for the bytes with a plain GET.

    Args:
        location: an HTTP server's or a store's.
        endpoint: of a store that is not the cloud's own, None for that.
        env: the environment, for the credentials and the region.

    Raises:
        InvalidSpec: the store cannot be addressed with these settings.
        Interrupted: the pod's identity gives no keys at this moment.
    """
    try:
        match location.kind:
            case "s3":
                return _amazon(location, endpoint, env)
            case "gs":
                return _google(location, endpoint, env)
            case "az":
                return _azure(location, endpoint, env)
            case _:
                return location.url
    except Unusable as error:
        raise InvalidSpec(
            location.says(f"cannot be signed for: {error} (spec.weights.credentialsSecretRef, spec.env)")
        ) from error


def _amazon(location: Location, endpoint: str | None, env: Mapping[str, str]) -> str:
    access = amazon.access(env, endpoint=endpoint)
    try:
        store = access.store(location.bucket, client_options=CLIENT, retry_config=RETRIES)
        signed = obstore.sign(store, "GET", location.key, SIGNED_FOR)
    except Exception as error:
        if access.source:
            # Nothing of it is in the spec, and it may go on in a minute: an agent that starts, a role just granted.
            raise Interrupted(f"failed: {access.source} leads to no keys") from error
        raise _unsigned(location) from error
    return signed.split("?", 1)[0] if access.anonymous else signed


def _google(location: Location, endpoint: str | None, env: Mapping[str, str]) -> str:
    """With the key of a service account, in a variable or in a file; anonymous without one."""
    base = endpoint or GOOGLE
    key = google.service_account_key(env)
    if key is None:
        return f"{base}/{quote(f'{location.bucket}/{location.key}')}"
    try:
        store = GCSStore(location.bucket, config={"service_account_key": key})
        signed = obstore.sign(store, "GET", location.key, SIGNED_FOR)
    except Exception as error:
        raise google.unusable_key(env) from error
    return base + signed.removeprefix(GOOGLE)


def _azure(location: Location, endpoint: str | None, env: Mapping[str, str]) -> str:
    """With an account's key, or a token that somebody has signed already; anonymous without either."""
    access = azure.access(env, endpoint=endpoint)
    address = f"{access.base}/{quote(f'{location.bucket}/{location.key}')}"
    if access.key:
        return f"{address}?{_azure_token(location, access.account, access.key)}"
    return f"{address}?{access.token}" if access.token else address


def _azure_token(location: Location, account: str, key: bytes) -> str:
    """A service SAS (https://learn.microsoft.com/rest/api/storageservices/create-service-sas).

    Not the object-store client's: it signs the name as it is escaped in the URL, which the service does not, so
    that a name with a space would be refused.
    """
    now = datetime.now(UTC)
    start, end = (moment.strftime("%Y-%m-%dT%H:%M:%SZ") for moment in (now - CLOCK_SKEW, now + SIGNED_FOR))
    resource = f"/blob/{account}/{location.bucket}/{location.key}"
    lines = ["r", start, end, resource, "", "", "", AZURE_VERSION, "b", *[""] * AZURE_FIELDS_AFTER]
    signature = base64.b64encode(hmac.new(key, "\n".join(lines).encode(), hashlib.sha256).digest())
    fields = {"sv": AZURE_VERSION, "sr": "b", "sp": "r", "st": start, "se": end, "sig": signature.decode()}
    return urlencode(fields)


def _unsigned(location: Location) -> InvalidSpec:
    return InvalidSpec(
        location.says(
            "cannot be signed for; check the keys in spec.weights.credentialsSecretRef and spec.weights.endpoint"
        )
    )
