"""The operator's settings: read once from the environment by `__main__`, frozen afterwards."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, Self

from catfish_operator import errors

LOG_LEVELS = ("debug", "info", "warning", "error")
LOG_FORMATS = ("auto", "json", "text")


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Everything that can be set from outside, by the variable `CATFISH_` + the field's name in capitals."""

    namespace: str = ""
    """The only namespace to look after; empty: all of them."""

    workers: int = 8
    """How many models are worked on at the same time (1 to 64)."""

    resync_seconds: float = 60.0
    """Seconds between two full listings that replace the cache (1 to 60)."""

    request_timeout_seconds: float = 30.0
    """Seconds that one API call may take in all (1 to 300)."""

    admin_host: str = "0.0.0.0"  # noqa: S104 - the kubelet probes the pod's address
    """The address of the probes and metrics."""

    admin_port: int = 8080
    """The port of the probes and metrics (0: any free one, named in the log)."""

    lease_namespace: str = ""
    """Where the Lease lies that says which replica writes; empty: this process is the only one, and writes."""

    lease_name: str = "catfish-operator"
    """The Lease's name."""

    lease_seconds: float = 15.0
    """Seconds after its last sign of life until another replica takes over (4 to 300)."""

    identity: str = ""
    """What this replica is called: the pod's name; empty: the host's name and a random part."""

    log_level: str = "info"
    """`debug`, `info`, `warning` or `error`."""

    log_format: Literal["auto", "json", "text"] = "auto"
    """`json`, `text`, or `auto`: text on a terminal, JSON elsewhere."""

    @classmethod
    def from_env(cls, environ: Mapping[str, str]) -> Self:
        """Reads the `CATFISH_*` variables.

        Raises:
            BadSettings: a value cannot be used; the text names the variable.
        """
        default = cls()
        return cls(
            namespace=environ.get("CATFISH_NAMESPACE", default.namespace),
            workers=int(_number(environ, "WORKERS", default.workers, low=1, high=64, whole=True)),
            resync_seconds=_number(environ, "RESYNC_SECONDS", default.resync_seconds, low=1, high=60),
            request_timeout_seconds=_number(
                environ, "REQUEST_TIMEOUT_SECONDS", default.request_timeout_seconds, low=1, high=300
            ),
            admin_host=environ.get("CATFISH_ADMIN_HOST", default.admin_host),
            admin_port=int(_number(environ, "ADMIN_PORT", default.admin_port, low=0, high=65535, whole=True)),
            lease_namespace=environ.get("CATFISH_LEASE_NAMESPACE", default.lease_namespace),
            lease_name=environ.get("CATFISH_LEASE_NAME") or default.lease_name,
            lease_seconds=_number(environ, "LEASE_SECONDS", default.lease_seconds, low=4, high=300),
            identity=environ.get("CATFISH_IDENTITY", default.identity),
            log_level=_choice(environ, "LOG_LEVEL", default.log_level, LOG_LEVELS),
            log_format=_choice(environ, "LOG_FORMAT", default.log_format, LOG_FORMATS),  # type: ignore[arg-type]  # checked against LOG_FORMATS
        )


def _number(
    environ: Mapping[str, str], name: str, default: float, *, low: float, high: float, whole: bool = False
) -> float:
    text = environ.get(f"CATFISH_{name}")
    if text is None or text == "":
        return default
    try:
        value: float = int(text) if whole else float(text)
    except ValueError:
        value = float("nan")
    if not low <= value <= high:
        kind = "a whole number" if whole else "a number"
        raise errors.BadSettings(f"CATFISH_{name}: {text!r} is not {kind} from {low:g} to {high:g}")
    return value


def _choice(environ: Mapping[str, str], name: str, default: str, choices: tuple[str, ...]) -> str:
    text = environ.get(f"CATFISH_{name}") or default
    if text.lower() not in choices:
        raise errors.BadSettings(f"CATFISH_{name}: {text!r} is none of {', '.join(choices)}")
    return text.lower()
