"""Profiles of the AWS tools: `~/.aws/credentials` and `~/.aws/config`, or the files that variables name.

The format: https://docs.aws.amazon.com/cli/latest/userguide/cli-configure-files.html.
"""

import configparser
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

from catfish_server.credentials.unusable import Unusable

Section = Mapping[str, str]

EMPTY: Section = MappingProxyType({})

UNSUPPORTED = (
    "role_arn",
    "source_profile",
    "credential_source",
    "web_identity_token_file",
    "sso_session",
    "sso_start_url",
    "sso_account_id",
    "login_session",
    "credential_process",
)
"""Settings that say where keys come from and that are not followed here, in the order in which they are told."""

_NO_DEFAULTS = "\n"
"""The name of a section that no file can have: `[DEFAULT]` means nothing special to the AWS tools."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """One profile, as far as the files have it.

    Attributes:
        name: as in AWS_PROFILE, `default` without it.
        credentials: its section of the credentials file.
        config: its section of the config file.
        services: the section of the config file that its setting `services` names.
    """

    name: str
    credentials: Section = field(repr=False)
    config: Section = field(repr=False)
    services: Section

    def setting(self, name: str) -> str | None:
        """What either file has under a name; the credentials file goes first, as for the AWS CLI."""
        return self.credentials.get(name) or self.config.get(name) or None

    def keys(self) -> Section | None:
        """The section with the keys, None where the profile has none.

        Raises:
            Unusable: it gets them in a way that is not supported, or has only half of them.
        """
        unsupported = next((name for name in UNSUPPORTED if self.setting(name)), None)
        # Keys in the credentials file go before a process, which the AWS CLI would not start then.
        if unsupported and (
            unsupported != "credential_process" or not self.credentials.get("aws_access_key_id")
        ):
            raise Unusable(
                f"the AWS profile {self.name} gets its keys by {unsupported}, which is not supported here; name a "
                "profile with aws_access_key_id and aws_secret_access_key in AWS_PROFILE, or set AWS_ACCESS_KEY_ID "
                "and AWS_SECRET_ACCESS_KEY"
            )
        for section in (self.credentials, self.config):
            if section.get("aws_access_key_id"):
                if not section.get("aws_secret_access_key"):
                    raise Unusable(
                        f"the AWS profile {self.name} has aws_access_key_id and no aws_secret_access_key beside it"
                    )
                return section
        return None

    def endpoint(self) -> str | None:
        """The address of S3 that the profile asks for: that of the service goes before the profile's own.

        https://docs.aws.amazon.com/sdkref/latest/guide/feature-ss-endpoints.html
        """
        for line in self.services.get("s3", "").splitlines():
            name, _, value = line.partition("=")
            if name.strip() == "endpoint_url":
                return value.strip()
        return self.setting("endpoint_url")


def load(env: Mapping[str, str]) -> Profile:
    """The profile that the environment asks for.

    Raises:
        Unusable: a file is none, or one that is asked for by its name lacks the profile.
    """
    credentials = _file(env, "AWS_SHARED_CREDENTIALS_FILE", "credentials")
    config = _file(env, "AWS_CONFIG_FILE", "config")
    name = env.get("AWS_PROFILE") or "default"
    configured = {_profile_of(section): values for section, values in config.items()}
    # A credentials file that is named and empty, such as /dev/null, is the way to ask for no keys at all.
    asked = env.get("AWS_PROFILE") or (env.get("AWS_SHARED_CREDENTIALS_FILE") and credentials)
    if asked and name not in credentials and name not in configured:
        raise Unusable(
            f"there is no AWS profile {name} in the credentials file and the config file "
            "(AWS_PROFILE, AWS_SHARED_CREDENTIALS_FILE, AWS_CONFIG_FILE)"
        )
    found = configured.get(name, EMPTY)
    services = config.get(f"services {found.get('services')}", EMPTY)
    return Profile(name=name, credentials=credentials.get(name, EMPTY), config=found, services=services)


def _profile_of(section: str) -> str | None:
    """The profile of a section of the config file, None where it is another kind of section."""
    kind, _, name = section.partition(" ")
    if section == "default":
        return section
    return name.strip().strip("\"'") if kind == "profile" else None


def _file(env: Mapping[str, str], variable: str, name: str) -> Mapping[str, Section]:
    """The sections of a file; only one that a variable names has to be there."""
    home, named = env.get("HOME"), env.get(variable)
    if named:
        path = Path(home or "/", named[2:]) if named.startswith("~/") else Path(named)
    elif home:
        path = Path(home, ".aws", name)
    else:
        return {}
    try:
        text = path.read_text(encoding="utf-8")
    except (FileNotFoundError, NotADirectoryError):
        if named:
            raise Unusable(f"{variable}: {path} does not exist") from None
        return {}
    except (OSError, UnicodeDecodeError):
        raise Unusable(f"{path}: cannot be read as a text file") from None
    return _sections(text, path)


def _sections(text: str, path: Path) -> Mapping[str, Section]:
    parser = configparser.RawConfigParser(default_section=_NO_DEFAULTS)
    try:
        parser.read_string(text)
    except configparser.Error as error:
        # Its own text repeats the line, which may hold a key.
        line = getattr(error, "lineno", None) or getattr(error, "errors", [(1, "")])[0][0]
        raise Unusable(
            f"{path}: line {line} is no setting of a section, or stands there for the second time"
        ) from None
    return {section: dict(parser[section]) for section in parser.sections()}
