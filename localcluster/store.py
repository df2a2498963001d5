"""A store for weights: one folder, served over HTTP by nginx and as S3 buckets by versitygw.

The first level of the folder is the buckets: `models/a.pt` is `http://…/models/a.pt` and `s3://models/a.pt`.
HTTP takes uploads (PUT) from everybody in `clients`; S3 asks for the keys below besides. Nothing in it is secret.

The host's address is an address of this machine, and Linux answers for it on every interface: a neighbour with a
route here would reach the store. So nginx stands before both and asks where a client comes from.
"""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from localcluster import addresses, build, direct
from localcluster.ports import free_ports
from localcluster.processes import Daemon, await_alive

ACCESS_KEY = "catfish"
SECRET_KEY = "catfish-local-only"  # noqa: S105 - printed in the manual; who may come is asked by address
REGION = "us-east-1"
BUCKET = "models"
NAMESPACE = "catfish-store"
_LABELS = {"app.kubernetes.io/name": "store"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Store:
    """Both servers over one folder; every method may be called again at any time.

    Attributes:
        directory: settings, logs and pid files, and the folder `files` that is served.
        versitygw: the S3 server's program.
        address: where nginx listens.
        http_port: the port for HTTP.
        s3_port: the port for S3, which nginx hands on to versitygw.
        s3_behind: where versitygw listens, `address:port` of loopback.
        clients: the range of addresses that are answered; others get 403.
    """

    directory: Path
    versitygw: Path
    address: str
    http_port: int
    s3_port: int
    s3_behind: str
    clients: str = addresses.ALL

    @classmethod
    @contextmanager
    def start_in(cls, directory: Path, *, clients: str = "127.0.0.0/8") -> Iterator["Store"]:
        """Starts a store on free ports of loopback and stops it at the end of the block."""
        http_port, s3_port, behind = free_ports(3)
        store = cls(
            directory=directory,
            versitygw=build.versitygw(),
            address="127.0.0.1",
            http_port=http_port,
            s3_port=s3_port,
            s3_behind=f"127.0.0.1:{behind}",
            clients=clients,
        )
        try:
            store.start()
            yield store
        finally:
            store.stop()

    @property
    def http_url(self) -> str:
        """Where nginx answers; a bucket's file is at `/<bucket>/<name>`."""
        return f"http://{self.address}:{self.http_port}"

    @property
    def s3_url(self) -> str:
        """The endpoint for S3 clients; buckets are in the path, not in the host name."""
        return f"http://{self.address}:{self.s3_port}"

    @property
    def access_key(self) -> str:
        """The S3 user's name."""
        return ACCESS_KEY

    @property
    def secret_key(self) -> str:
        """The S3 user's secret."""
        return SECRET_KEY

    @property
    def files(self) -> Path:
        """The folder that is served."""
        return self.directory / "files"

    def start(self, *, seconds: float = 30) -> None:
        """Starts what does not run, anew where the settings are others, and waits until both answer."""
        for folder in (self.files / BUCKET, self.directory / "uploads", self.directory / "metadata"):
            folder.mkdir(parents=True, exist_ok=True)
        settings = self.directory / "nginx.conf"
        text = _nginx_settings(self)
        if (
            not settings.exists() or settings.read_text() != text
        ):  # of an older checkout: versitygw's are others too
            self.stop()
            settings.write_text(text)
        until = time.monotonic() + seconds
        for daemon in self.daemons():
            daemon.start()
        for daemon, url in zip(self.daemons(), (self.http_url, f"http://{self.s3_behind}"), strict=True):
            while direct.status(url) is None:  # be it to refuse us
                await_alive(daemon, until=until)

    def stop(self) -> None:
        """Stops both; the files stay."""
        for daemon in self.daemons():
            daemon.stop()

    def daemons(self) -> list[Daemon]:
        """The processes: nginx, versitygw."""
        nginx = ("nginx", "-p", str(self.directory), "-c", "nginx.conf", "-e", "stderr")
        # Metadata beside the files, not in extended attributes: tmpfs and overlays do not all have those.
        posix = ("posix", f"--sidecar={self.directory / 'metadata'}", str(self.files))
        listen = ("--port", self.s3_behind, "--region", REGION, "--quiet")
        keys = {"ROOT_ACCESS_KEY": ACCESS_KEY, "ROOT_SECRET_KEY": SECRET_KEY}
        return [
            Daemon(name="nginx", argv=nginx, directory=self.directory),
            Daemon(
                name="versitygw",
                argv=(str(self.versitygw), *listen, *posix),
                directory=self.directory,
                env=keys,
            ),
        ]


def objects() -> list[dict[str, Any]]:
    """What makes the store a Service of the cluster: http://store.catfish-store and port 9000 for S3."""
    meta = {"name": "store", "namespace": NAMESPACE, "labels": _LABELS}
    ports = {
        "http": (80, addresses.STORE_HTTP_PORT),
        "s3": (addresses.STORE_S3_PORT, addresses.STORE_S3_PORT),
    }
    return [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}},
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": meta,
            "spec": {
                "ports": [
                    {"name": name, "port": port, "targetPort": target}
                    for name, (port, target) in ports.items()
                ]
            },
        },
        {
            "apiVersion": "discovery.k8s.io/v1",
            "kind": "EndpointSlice",
            "metadata": {**meta, "labels": {**_LABELS, "kubernetes.io/service-name": "store"}},
            "addressType": "IPv4",
            "endpoints": [{"addresses": [addresses.HOST], "conditions": {"ready": True}}],
            "ports": [{"name": name, "port": target} for name, (_, target) in ports.items()],
        },
    ]


def _nginx_settings(store: Store) -> str:
    """All files of nginx lie in the store's folder; an upload appears under its name when it is whole.

    S3 is handed on as it comes: clients sign the host's name and the path, so both reach versitygw untouched.
    """
    user = "user root;\n" if os.geteuid() == 0 else ""
    return f"""\
{user}daemon off;
worker_processes 1;
pid nginx-master.pid;
events {{}}
http {{
  access_log off;
  default_type application/octet-stream;
  client_max_body_size 0;
  allow {store.clients};
  deny all;
  client_body_temp_path uploads;
  proxy_temp_path uploads/proxy;
  fastcgi_temp_path uploads/fastcgi;
  uwsgi_temp_path uploads/uwsgi;
  scgi_temp_path uploads/scgi;
  server {{
    listen {store.address}:{store.http_port};
    root files;
    autoindex on;
    dav_methods PUT;
    create_full_put_path on;
  }}
  server {{
    listen {store.address}:{store.s3_port};
    location / {{
      proxy_pass http://{store.s3_behind};
      proxy_http_version 1.1;
      proxy_set_header Host $http_host;
      proxy_set_header Connection "";
      proxy_request_buffering off;
      proxy_buffering off;
      proxy_read_timeout 600s;
      proxy_send_timeout 600s;
    }}
  }}
}}
"""
