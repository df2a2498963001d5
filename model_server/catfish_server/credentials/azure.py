"""How Azure Blob Storage is addressed: the account, its address, and a key or a token for it."""

import base64
import binascii
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from urllib.parse import urlsplit

from catfish_server.credentials.unusable import Unusable

CONNECTION_STRING = "AZURE_STORAGE_CONNECTION_STRING"

SETTINGS = frozenset(
    {
        "accountkey",
        "accountname",
        "blobendpoint",
        "defaultendpointsprotocol",
        "endpointsuffix",
        "sharedaccesssignature",
        "usedevelopmentstorage",
    }
)
"""Of a connection string, those that are read; their case does not matter to Azure's own libraries. The others are
of other services and of second copies."""

EMULATOR: Mapping[str, str] = MappingProxyType(
    {
        "accountname": "devstoreaccount1",
        "accountkey": "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==",
        "blobendpoint": "http://127.0.0.1:10000/devstoreaccount1",
    }
)
"""What `UseDevelopmentStorage=true` stands for; the key is that of every emulator in the world
(https://learn.microsoft.com/azure/storage/common/storage-use-azurite)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """How the containers of an account are reached; anonymously where there is neither key nor token.

    Attributes:
        account: its name, which is signed with the key.
        base: the address that the name of a container follows, without a slash at its end.
        key: of the account.
        token: a shared access signature, without a question mark.
    """

    account: str
    base: str
    key: bytes | None = field(default=None, repr=False)
    token: str | None = field(default=None, repr=False)


def access(env: Mapping[str, str], *, endpoint: str | None) -> Access:
    """How the environment says that an account is reached.

    A connection string goes before the other variables, as for the Azure CLI.

    Args:
        env: the environment.
        endpoint: that somebody has asked for, which goes before that of a connection string.

    Raises:
        Unusable: what it says cannot be followed.
    """
    if text := env.get(CONNECTION_STRING, "").strip():
        return _of_connection_string(_settings(text), endpoint)
    account = env.get("AZURE_STORAGE_ACCOUNT") or env.get("AZURE_STORAGE_ACCOUNT_NAME")
    if not account:
        raise Unusable(
            f"the name of its storage account is missing; set AZURE_STORAGE_ACCOUNT or {CONNECTION_STRING}"
        )
    return Access(
        account=account,
        base=(endpoint or f"https://{account}.blob.core.windows.net").rstrip("/"),
        key=_first_key(env),
        token=env.get("AZURE_STORAGE_SAS_TOKEN", "").strip().lstrip("?") or None,
    )


def _first_key(env: Mapping[str, str]) -> bytes | None:
    for variable in ("AZURE_STORAGE_KEY", "AZURE_STORAGE_ACCOUNT_KEY"):
        if text := env.get(variable):
            return _decoded(text, variable)
    return None


def _settings(text: str) -> dict[str, str]:
    """The settings of a connection string, by their names in lower case.

    The format: https://learn.microsoft.com/azure/storage/common/storage-configure-connection-string.
    """
    settings: dict[str, str] = {}
    for number, part in enumerate(filter(None, text.split(";")), 1):
        name, separator, value = part.partition("=")
        if not separator or not re.fullmatch(r"[A-Za-z]+", name.strip()):
            # The part itself may be a piece of a key.
            raise Unusable(
                f"{CONNECTION_STRING}: part {number} of those between semicolons is not Name=value"
            )
        settings[name.strip().lower()] = value.strip()
    if not SETTINGS & settings.keys():
        raise Unusable(f"{CONNECTION_STRING}: is not the connection string of a storage account")
    return settings


def _of_connection_string(settings: Mapping[str, str], endpoint: str | None) -> Access:
    if settings.get("usedevelopmentstorage", "").lower() == "true":
        settings = EMULATOR
    base = endpoint or _base(settings)
    key, token = settings.get("accountkey"), settings.get("sharedaccesssignature", "").lstrip("?")
    account = settings.get("accountname") or _account_of(base)
    if key and not settings.get("accountname"):
        raise Unusable(f"{CONNECTION_STRING}: has AccountKey and no AccountName, which is signed with it")
    if not key and not token and not settings.get("blobendpoint"):
        raise Unusable(f"{CONNECTION_STRING}: has neither AccountKey nor SharedAccessSignature")
    return Access(
        account=account,
        base=base.rstrip("/"),
        key=_decoded(key, f"{CONNECTION_STRING}: AccountKey") if key else None,
        token=token or None,
    )


def _base(settings: Mapping[str, str]) -> str:
    """The address of the account's blobs: the one that is given, or that of the account in its cloud."""
    if given := settings.get("blobendpoint"):
        if not _is_address(given):
            raise Unusable(
                f"{CONNECTION_STRING}: BlobEndpoint must be http:// or https:// with a host and without a query"
            )
        return given
    account = settings.get("accountname")
    if not account:
        raise Unusable(f"{CONNECTION_STRING}: has neither AccountName nor BlobEndpoint")
    protocol = settings.get("defaultendpointsprotocol") or "https"
    made = f"{protocol}://{account}.blob.{settings.get('endpointsuffix') or 'core.windows.net'}"
    if not _is_address(made):
        raise Unusable(
            f"{CONNECTION_STRING}: DefaultEndpointsProtocol, AccountName and EndpointSuffix make no address"
        )
    return made


def _is_address(text: str) -> bool:
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        return False
    plain = (
        re.fullmatch(r"https?://[A-Za-z0-9._:\[\]-]+(/[!-~]*)?", text) and not parts.query + parts.fragment
    )
    return bool(plain and parts.hostname and port != 0)


def _account_of(base: str) -> str:
    """The account in an address: the first label of the host, or the first folder where the host is an address."""
    parts = urlsplit(base)
    return parts.path.strip("/").split("/")[0] or (parts.hostname or "").split(".")[0]


def _decoded(key: str, name: str) -> bytes:
    try:
        return base64.b64decode(key.strip(), validate=True)
    except (binascii.Error, ValueError):
        raise Unusable(f"{name} is not the key of an account: it is not base64") from None
