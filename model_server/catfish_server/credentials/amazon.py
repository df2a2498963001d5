"""How S3 is addressed: the keys, the region and the endpoint that the AWS tools would take."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from obstore.store import S3Store

from catfish_server.credentials import profiles
from catfish_server.credentials.profiles import Profile
from catfish_server.credentials.unusable import Unusable

if TYPE_CHECKING:  # its module has them for type checkers alone
    from obstore.store import ClientConfig, RetryConfig

WEB_IDENTITY = "AWS_WEB_IDENTITY_TOKEN_FILE"

CREDENTIAL_SOURCES = (
    WEB_IDENTITY,
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
)
"""Variables by which EKS and ECS say where the client gets keys, which it does by itself. With none of them and no
keys a bucket is used anonymously: asking the metadata service of a cloud that may not be there would cost many
seconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Keys:
    """What signs requests.

    Attributes:
        token: of a session, None for keys that do not expire.
    """

    access_key_id: str
    secret_access_key: str = field(repr=False)
    token: str | None = field(default=None, repr=False)


NOBODY = Keys(access_key_id="anonymous", secret_access_key="anonymous")  # noqa: S106 (it signs what is not sent)


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """How a bucket is reached.

    Attributes:
        region: that requests are signed for.
        endpoint: None for Amazon's own of the region.
        keys: None where the client gets them by itself, or where there are none.
        source: the variable that says where the client gets them, None where it does not.
    """

    region: str
    endpoint: str | None
    keys: Keys | None
    source: str | None = None

    @property
    def anonymous(self) -> bool:
        """Whether requests are not signed."""
        return self.keys is None and self.source is None

    def store(
        self, bucket: str, *, client_options: "ClientConfig", retry_config: "RetryConfig | None" = None
    ) -> S3Store:
        """The client of a bucket, with the options of obstore's clients."""
        config: Any = {"region": self.region, "skip_signature": self.anonymous}
        if self.endpoint:
            # The name that goes before all others: beside `endpoint` the client would take AWS_ENDPOINT_URL_S3 from
            # the process's environment.
            config["aws_endpoint_url_s3"] = self.endpoint
        keys = NOBODY if self.anonymous else self.keys
        # By a provider: beside keys in `config` the client would take a session token from the process's environment,
        # where that of other keys may be.
        provider: Any = _provider(keys) if keys else None
        return S3Store(
            bucket,
            config=config,
            client_options=client_options,
            retry_config=retry_config,
            credential_provider=provider,
        )


def access(env: Mapping[str, str], *, endpoint: str | None) -> Access:
    """How the environment says that S3 is reached.

    Keys in variables go first, then the web identity of a pod, the profile, and the containers' own service: the
    order of https://docs.aws.amazon.com/cli/latest/userguide/cli-chap-authentication.html.

    Args:
        env: the environment, with HOME where the profile may be in the files of a home directory.
        endpoint: that somebody has asked for, which goes before all that the environment says.

    Raises:
        Unusable: what it says cannot be followed.
    """
    profile = profiles.load(env)
    keys = _of_variables(env)
    if keys is None and not env.get(WEB_IDENTITY):
        keys = _of_profile(profile)
    source = next((name for name in CREDENTIAL_SOURCES if env.get(name)), None)
    region = env.get("AWS_REGION") or env.get("AWS_DEFAULT_REGION") or profile.setting("region")
    return Access(
        region=region or "us-east-1",
        endpoint=endpoint or _endpoint(env, profile),
        keys=keys,
        source=source if keys is None else None,
    )


def _of_variables(env: Mapping[str, str]) -> Keys | None:
    key, secret = env.get("AWS_ACCESS_KEY_ID"), env.get("AWS_SECRET_ACCESS_KEY")
    if not key:
        return None
    if not secret:
        raise Unusable("AWS_ACCESS_KEY_ID is set and AWS_SECRET_ACCESS_KEY is not")
    return Keys(access_key_id=key, secret_access_key=secret, token=env.get("AWS_SESSION_TOKEN") or None)


def _of_profile(profile: Profile) -> Keys | None:
    section = profile.keys()
    if section is None:
        return None
    return Keys(
        access_key_id=section["aws_access_key_id"],
        secret_access_key=section["aws_secret_access_key"],
        token=section.get("aws_session_token") or None,
    )


def _endpoint(env: Mapping[str, str], profile: Profile) -> str | None:
    if env.get("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "").lower() == "true":
        return None
    return env.get("AWS_ENDPOINT_URL_S3") or env.get("AWS_ENDPOINT_URL") or profile.endpoint() or None


def _provider(keys: Keys) -> Callable[[], dict[str, object]]:
    """Keys as the client asks for them; those of a file are read again by the next start alone."""
    return lambda: {
        "access_key_id": keys.access_key_id,
        "secret_access_key": keys.secret_access_key,
        "token": keys.token,
        "expires_at": None,
    }
