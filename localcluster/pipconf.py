"""The pip settings of this machine, for builds: where packages come from and whom to trust.

They reach a build as secrets: files that are there while a step runs, and in no layer or history.
"""

import configparser
import os
import ssl
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

CPU_INDEX = "https://download.pytorch.org/whl/cpu"
CA_BUNDLE = "/run/secrets/ca_bundle"  # where Dockerfiles find the secret `ca_bundle`
_PASSED_ON = ("index-url", "extra-index-url", "find-links", "trusted-host", "proxy", "timeout", "retries")


@dataclass(frozen=True, slots=True, kw_only=True)
class PipSettings:
    """What a build needs to know.

    Attributes:
        config: the text of a pip configuration file.
        ca_bundle: certificates to trust, where the machine names a file of its own.
        wheels: a directory of wheels on this machine.
    """

    config: str
    ca_bundle: Path | None
    wheels: Path | None


def of_this_machine(
    environment: Mapping[str, str] = os.environ, *, files: list[Path] | None = None, cpu_index: bool = False
) -> PipSettings:
    """Reads pip's configuration files and PIP_* variables as pip does: the later ones win.

    Args:
        environment: the variables.
        files: the configuration files; None stands for those that pip reads.
        cpu_index: adds the index of CPU-only torch wheels.
    """
    settings: dict[str, str] = {}
    for file in _files(environment) if files is None else files:
        parser = configparser.RawConfigParser()
        parser.read(file, encoding="utf-8")
        for section in ("global", "install"):
            settings.update(parser.items(section) if parser.has_section(section) else ())
    for name, value in environment.items():
        if name.startswith("PIP_") and value:
            settings[name.removeprefix("PIP_").lower().replace("_", "-")] = value
    settings.setdefault("timeout", settings.get("default-timeout", "60"))
    ca_bundle = _ca_bundle(settings, environment)
    links, wheels = _split(settings.get("find-links", ""))
    settings["find-links"] = "\n    ".join(links)
    if cpu_index:
        settings["extra-index-url"] = "\n    ".join([*settings.get("extra-index-url", "").split(), CPU_INDEX])
    lines = [f"{key} = {settings[key]}" for key in _PASSED_ON if settings.get(key)]
    if ca_bundle:
        lines.append(f"cert = {CA_BUNDLE}")
    return PipSettings(config="\n".join(["[global]", *lines, ""]), ca_bundle=ca_bundle, wheels=wheels)


def reachable(url: str, *, ca_bundle: Path | None = None, seconds: float = 3) -> bool:
    """Whether something answers at this address, if only to refuse."""
    context = ssl.create_default_context(cafile=str(ca_bundle) if ca_bundle else None)
    request = urllib.request.Request(url, method="HEAD")  # noqa: S310 - our constants
    try:
        with urllib.request.urlopen(request, timeout=seconds, context=context):  # noqa: S310
            return True
    except urllib.error.HTTPError as refusal:
        return refusal.code in {401, 405}  # asks for a token, or for GET: it is there
    except OSError:
        return False


def _files(environment: Mapping[str, str]) -> list[Path]:
    """Where pip looks: https://pip.pypa.io/en/stable/topics/configuration/."""
    home = Path(environment.get("HOME", "/root"))
    config = Path(environment.get("XDG_CONFIG_HOME") or home / ".config")
    files = [Path("/etc/pip.conf"), home / ".pip" / "pip.conf", config / "pip" / "pip.conf"]
    if own := environment.get("PIP_CONFIG_FILE"):
        files = [] if own == os.devnull else [*files, Path(own)]
    return files


def _ca_bundle(settings: Mapping[str, str], environment: Mapping[str, str]) -> Path | None:
    named = settings.get("cert") or environment.get("REQUESTS_CA_BUNDLE") or environment.get("SSL_CERT_FILE")
    return Path(named) if named and Path(named).is_file() else None


def _split(find_links: str) -> tuple[list[str], Path | None]:
    """Addresses, and the first directory that holds wheels (a build can be given one)."""
    entries = find_links.split()
    addresses = [entry for entry in entries if "://" in entry and not entry.startswith("file://")]
    directories = [Path(entry.removeprefix("file://")) for entry in entries if entry not in addresses]
    return addresses, next((each for each in directories if any(each.glob("*.whl"))), None)
