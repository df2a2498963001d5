"""Kubeconfig files: where the API server is, whom to trust, and who we are."""

import base64
import json
import os
from pathlib import Path

from localcluster.pki import Certificate


def write(path: Path, *, server: str, authority: Path, identity: Certificate) -> Path:
    """Writes a kubeconfig that works wherever it is copied to, and returns its path.

    Args:
        path: the file; it holds a private key, so only its owner may read it.
        server: the API server's URL.
        authority: the certificate that signs the server's.
        identity: the client certificate.
    """
    user = {
        "client-certificate-data": _base64(identity.certificate),
        "client-key-data": _base64(identity.key),
    }
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [
            {
                "name": "catfish",
                "cluster": {"server": server, "certificate-authority-data": _base64(authority)},
            }
        ],
        "users": [{"name": "catfish", "user": user}],
        "contexts": [{"name": "catfish", "context": {"cluster": "catfish", "user": "catfish"}}],
        "current-context": "catfish",
    }
    text = json.dumps(config, indent=1)
    if path.exists() and path.read_text() == text:
        return path
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.part")
    with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write(text)
    part.rename(path)
    return path


def _base64(file: Path) -> str:
    return base64.b64encode(file.read_bytes()).decode()
