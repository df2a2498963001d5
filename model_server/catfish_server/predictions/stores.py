"""The object stores that the log is written to and exported from, with the credentials that their own tools take."""

import base64
import json
from collections.abc import Callable, Mapping
from datetime import timedelta
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from obstore.exceptions import GenericError, PermissionDeniedError, UnauthenticatedError
from obstore.store import AzureStore, GCSStore, S3Store

from catfish_server.credentials import amazon, azure, google
from catfish_server.credentials.unusable import Unusable
from catfish_server.errors import InvalidSpec
from catfish_server.predictions.destination import Destination

if TYPE_CHECKING:  # its module has it for type checkers alone
    from obstore.store import RetryConfig

SECRET_PREFIX = "CATFISH_LOG_SECRET_"  # noqa: S105 (a prefix of variables)
"""The keys of the Secret that spec.logging.predictions.credentialsSecretRef names arrive under this prefix, so that
they take no variable from the weights' own."""

_Options = Mapping[str, Any]

ObjectStore = S3Store | GCSStore | AzureStore

CLIENT: Any = {"timeout": "10s", "connect_timeout": "5s", "allow_http": True}
NO_RETRIES: Any = {"max_retries": 0, "retry_timeout": timedelta(seconds=10)}
"""For the log, which tries again by itself."""

RETRIES: Any = {
    "max_retries": 5,
    "retry_timeout": timedelta(seconds=60),
    "backoff": {"init_backoff": timedelta(seconds=0.5), "max_backoff": timedelta(seconds=10), "base": 2},
}
"""For who reads the log back: the client repeats what is answered with 408, 429 or 5xx, or not at all."""


def credentials(env: Mapping[str, str]) -> Mapping[str, str]:
    """The variables for the log's sink: those of its own Secret, or else all.

    Kafka's are the log's alone, so those that the Secret lacks are taken from the environment.
    """
    own = {
        name.removeprefix(SECRET_PREFIX): value
        for name, value in env.items()
        if name.startswith(SECRET_PREFIX)
    }
    kafka = {name: value for name, value in env.items() if name.startswith("KAFKA_")}
    return kafka | own if own else env


def refusal(error: Exception) -> str:
    """What a store's client has failed with; its own text may hold addresses and what the store answered."""
    return next((text for kind, text in _REFUSALS.items() if isinstance(error, kind)), type(error).__name__)


_REFUSALS: Mapping[type[Exception], str] = MappingProxyType(
    {
        FileNotFoundError: "NotFoundError (there is no such bucket or container, or not for these keys)",
        PermissionDeniedError: "PermissionDeniedError (its keys may not do this)",
        UnauthenticatedError: "UnauthenticatedError (its keys are missing, wrong or expired)",
        GenericError: "GenericError (it does not answer, or with an error; check its address, endpoint and region)",
    }
)


def store(
    destination: Destination,
    *,
    endpoint: str | None,
    env: Mapping[str, str],
    retries: "RetryConfig" = NO_RETRIES,
) -> ObjectStore:
    """The bucket of a destination.

    Args:
        destination: in an object store.
        endpoint: of one that is not the cloud's own, None for that.
        env: with the credentials and the region.
        retries: how often the client repeats a request.

    Raises:
        InvalidSpec: it cannot be addressed with these settings.
    """
    make = {"s3": _amazon, "gs": _google, "az": _azure}[destination.sink]
    try:
        return make(destination.bucket, endpoint, env, {"client_options": CLIENT, "retry_config": retries})
    except Unusable as error:
        raise InvalidSpec(
            f"spec.logging.predictions.url: the store cannot be addressed: {error} "
            "(spec.logging.predictions.credentialsSecretRef, spec.env)"
        ) from error
    except Exception as error:
        raise InvalidSpec(
            "spec.logging.predictions.url: the store cannot be addressed; check the keys in "
            "spec.logging.predictions.credentialsSecretRef and spec.logging.predictions.endpoint"
        ) from error


def _amazon(bucket: str, endpoint: str | None, env: Mapping[str, str], options: _Options) -> ObjectStore:
    return amazon.access(env, endpoint=endpoint).store(bucket, **options)


def _provider(**keys: str | None) -> Callable[[], dict[str, object]]:
    """Keys that do not expire, as the client asks for them."""
    return lambda: {**keys, "expires_at": None}


def _google(bucket: str, endpoint: str | None, env: Mapping[str, str], options: _Options) -> ObjectStore:
    """With the key of a service account; without one, Google's metadata service is asked, or no one (endpoint)."""
    config: Any = {"base_url": endpoint} if endpoint else {}
    key = google.service_account_key(env)
    if key is not None:
        config["service_account_key"] = key
    elif endpoint:
        nobody = {"client_email": "", "private_key": "", "private_key_id": ""}
        config["service_account_key"] = json.dumps(nobody | {"gcs_base_url": endpoint, "disable_oauth": True})
    try:
        return GCSStore(bucket, config=config, **options)
    except Exception as error:
        if key is None:
            raise
        raise google.unusable_key(env) from error


def _azure(container: str, endpoint: str | None, env: Mapping[str, str], options: _Options) -> ObjectStore:
    access = azure.access(env, endpoint=endpoint)
    config: Any = {"account_name": access.account, "endpoint": access.base}
    keys: Any = None
    if access.key:
        keys = _provider(access_key=base64.b64encode(access.key).decode())
    elif access.token:
        keys = _provider(sas_token=access.token)
    else:
        config["skip_signature"] = True
    return AzureStore(container, config=config, credential_provider=keys, **options)
