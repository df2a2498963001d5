"""The cluster's certificate authority and the certificates that it signs, made with the openssl command."""

from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path

from localcluster.commands import run

_DAYS = "3650"
_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")


@dataclass(frozen=True, slots=True, kw_only=True)
class Certificate:
    """A certificate and its private key, both PEM."""

    certificate: Path
    key: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Authority:
    """A certificate authority in a folder. What is there is kept: every call may be repeated."""

    directory: Path

    @property
    def certificate(self) -> Path:
        """What others trust."""
        return self.ensure().certificate

    def ensure(self) -> Certificate:
        """Returns the authority's own certificate, made at the first call."""
        extensions = "basicConstraints = critical,CA:true\nkeyUsage = critical,keyCertSign,cRLSign"
        return self._issue("ca", names=("CN = catfish-local",), extensions=extensions, signer=None)

    def client(self, name: str, *, groups: Sequence[str] = ()) -> Certificate:
        """Returns a certificate by which Kubernetes knows a user of this name and these groups."""
        names = [f"{index}.O = {group}" for index, group in enumerate(groups)]
        extensions = "basicConstraints = critical,CA:false\nextendedKeyUsage = clientAuth"
        return self._issue(
            f"client-{_file_name(name)}",
            names=(*names, f"CN = {name}"),
            extensions=extensions,
            signer=self.ensure(),
        )

    def server(self, name: str, *, hosts: Sequence[str]) -> Certificate:
        """Returns a certificate for a server under these host names and addresses."""
        alternatives = ",".join(f"{'IP' if _is_address(host) else 'DNS'}:{host}" for host in hosts)
        extensions = (
            "basicConstraints = critical,CA:false\nextendedKeyUsage = serverAuth\n"
            f"subjectAltName = {alternatives}"
        )
        return self._issue(
            f"server-{name}", names=(f"CN = {name}",), extensions=extensions, signer=self.ensure()
        )

    def signing_key(self, name: str) -> Path:
        """Returns a private key without a certificate, as service account tokens are signed with."""
        key = self.directory / f"{name}.key"
        if not key.exists():
            part = self._part(key)
            # ecparam, not genpkey: kube-apiserver reads EC keys in SEC 1 form only, not in PKCS 8
            run("openssl", "ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", part)
            part.chmod(0o600)
            part.rename(key)
        return key

    def _issue(
        self, stem: str, *, names: Sequence[str], extensions: str, signer: Certificate | None
    ) -> Certificate:
        """Makes the certificate unless the same one is there: the request is kept beside it and compared."""
        files = {end: self.directory / f"{stem}.{end}" for end in ("cnf", "crt", "key")}
        made = Certificate(certificate=files["crt"], key=files["key"])
        subject = "\n".join(names)
        wanted = (
            "[req]\nprompt = no\ndistinguished_name = subject\nx509_extensions = extensions\n"
            f"[subject]\n{subject}\n[extensions]\n{extensions}\n"
        )
        if all(file.exists() for file in files.values()) and files["cnf"].read_text() == wanted:
            return made
        parts = {end: self._part(file) for end, file in files.items()}
        parts["cnf"].write_text(wanted)
        signed_by = () if signer is None else ("-CA", signer.certificate, "-CAkey", signer.key)
        run(
            *("openssl", "req", "-x509", "-sha256", "-days", _DAYS, *_KEY, "-config", parts["cnf"]),
            *("-keyout", parts["key"], "-out", parts["crt"], *signed_by),
        )
        parts["key"].chmod(0o600)
        for end in ("key", "crt", "cnf"):  # the request comes last: without it all is made anew
            parts[end].rename(files[end])
        return made

    def _part(self, file: Path) -> Path:
        self.directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        return file.with_name(f"{file.name}.part")


def _file_name(user: str) -> str:
    return user.replace(":", "-").replace("/", "-")


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True
