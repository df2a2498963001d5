"""How Google Cloud Storage is asked: with the key of a service account, which signs addresses by itself."""

import json
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from catfish_server.credentials.unusable import Unusable

FILE = "GOOGLE_APPLICATION_CREDENTIALS"
CONTENTS = "GOOGLE_SERVICE_ACCOUNT_KEY"

OTHER_TYPES: Mapping[str, str] = MappingProxyType(
    {
        "authorized_user": "the login of a person",
        "external_account": "workload identity federation",
        "external_account_authorized_user": "workforce identity federation",
        "impersonated_service_account": "the impersonation of a service account",
        "gdch_service_account": "an account of Google Distributed Cloud",
    }
)
"""Types of credential files that Google's libraries read (https://google.aip.dev/auth/4110) and that hold no key to
sign with."""

FIELDS = ("client_email", "private_key", "private_key_id")
"""Of a key, those that are used."""


def service_account_key(env: Mapping[str, str]) -> str | None:
    """The JSON of a service account's key, from a variable or from the file that one names; None without either.

    Raises:
        Unusable: there is none in what they name.
    """
    if contents := env.get(CONTENTS):
        return _checked(contents, CONTENTS)
    path = env.get(FILE)
    if not path:
        return None
    try:
        text = Path(path).read_text(encoding="utf-8")
    except (FileNotFoundError, NotADirectoryError):
        raise Unusable(f"{FILE}: {path} does not exist") from None
    except (OSError, UnicodeDecodeError):
        raise Unusable(f"{FILE}: {path} cannot be read as a text file") from None
    return _checked(text, f"{FILE}: {path}")


def unusable_key(env: Mapping[str, str]) -> Unusable:
    """What is said of a key that the client cannot sign with."""
    name = CONTENTS if env.get(CONTENTS) else f"{FILE}: {env.get(FILE)}"
    return Unusable(f"{name}: its private_key is not an RSA key in PEM")


def _checked(text: str, name: str) -> str:
    """The text, if it is a key; what is said of another one names its place and never repeats it."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        raise Unusable(f"{name} is not JSON") from None
    if not isinstance(found, dict):
        raise Unusable(f"{name} is not a JSON object")
    kind = found.get("type", "service_account")
    if kind != "service_account":
        known = OTHER_TYPES.get(kind) if isinstance(kind, str) else None
        raise Unusable(
            f"{name} is of {f'the type {kind} ({known})' if known else 'a type that is not known'}; only the key of a "
            "service account is supported here (its type is service_account)"
        )
    for field in FIELDS:
        if not isinstance(found.get(field), str):
            raise Unusable(f"{name} is the key of a service account without {field}")
    return text
