import json
import ssl
import stat
import subprocess

import pytest

from localcluster import kubeconfig
from localcluster.pki import Authority


@pytest.fixture
def authority(tmp_path):
    return Authority(directory=tmp_path / "pki")


def shown(certificate, *what):
    argv = ["openssl", "x509", "-in", certificate.certificate, "-noout", *what]
    return subprocess.run(argv, check=True, capture_output=True, text=True).stdout


def test_a_client_certificate_carries_user_and_groups_and_is_signed(authority):
    client = authority.client("system:node:one", groups=["system:nodes"])
    assert shown(client, "-subject").strip() == "subject=O = system:nodes, CN = system:node:one"
    assert "TLS Web Client Authentication" in shown(client, "-ext", "extendedKeyUsage")
    subprocess.run(["openssl", "verify", "-CAfile", authority.certificate, client.certificate], check=True)


def test_a_server_certificate_names_hosts_and_addresses(authority):
    server = authority.server("api", hosts=["127.0.0.1", "kubernetes.default"])
    assert "IP Address:127.0.0.1, DNS:kubernetes.default" in shown(server, "-ext", "subjectAltName")


def test_what_is_there_is_kept_and_what_was_asked_differently_is_made_anew(authority):
    first = authority.server("api", hosts=["127.0.0.1"]).certificate.read_bytes()
    assert authority.server("api", hosts=["127.0.0.1"]).certificate.read_bytes() == first
    assert authority.server("api", hosts=["127.0.0.2"]).certificate.read_bytes() != first


def test_keys_are_for_their_owner_only(authority):
    keys = [authority.client("a").key, authority.signing_key("tokens"), authority.ensure().key]
    assert {stat.S_IMODE(key.stat().st_mode) for key in keys} == {0o600}


def test_certificate_and_key_belong_together(authority):
    client = authority.client("a")
    ssl.create_default_context(cafile=str(authority.certificate)).load_cert_chain(
        client.certificate, client.key
    )


def test_a_kubeconfig_stands_alone_and_is_private(authority, tmp_path):
    path = kubeconfig.write(
        tmp_path / "configs" / "admin",
        server="https://127.0.0.1:6443",
        authority=authority.certificate,
        identity=authority.client("a"),
    )
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert str(tmp_path) not in path.read_text()
    assert json.loads(path.read_text())["clusters"][0]["cluster"]["server"] == "https://127.0.0.1:6443"
