"""Downloads from a real nginx whose workers are slow, killed and stopped, and that is restarted meanwhile."""

import hashlib
import os
import signal
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from catfish_server import errors
from catfish_server.weights.download import Limits
from localcluster import direct
from localcluster.ports import free_ports
from localcluster.processes import Daemon, await_alive

pytestmark = pytest.mark.process
MB = 1_000_000
SETTINGS = """\
{user}
daemon off;
worker_processes 1;
pid nginx-master.pid;
events {{}}
http {{
  log_format ranges '$status $http_range $body_bytes_sent';
  access_log access.log ranges;
  client_body_temp_path temporary;
  proxy_temp_path temporary;
  fastcgi_temp_path temporary;
  uwsgi_temp_path temporary;
  scgi_temp_path temporary;
  server {{
    listen 127.0.0.1:{port};
    root files;
    location / {{ limit_rate 8m; limit_rate_after 1m; }}
    location = /alive {{ return 204; }}
    location = /busy {{ return 503; }}
    location /drip/ {{ limit_rate 1000; }}
  }}
}}
"""


@dataclass(frozen=True)
class Nginx:
    """An nginx with one worker that sends 8 MB a second, the first of them at once."""

    directory: Path
    port: int

    @property
    def daemon(self):
        argv = ("nginx", "-p", str(self.directory), "-c", "nginx.conf", "-e", "stderr")
        return Daemon(name="nginx", argv=argv, directory=self.directory)

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}/w"

    @property
    def file(self):
        return self.directory / "files" / "w"

    @property
    def requests(self):
        """Status, range and bytes sent of every request that has ended."""
        lines = (self.directory / "access.log").read_text().splitlines()
        return [tuple(line.split()) for line in lines if not line.startswith("204")]

    def start(self):
        self.daemon.start()
        until = time.monotonic() + 30
        while direct.status(f"http://127.0.0.1:{self.port}/alive") is None:
            await_alive(self.daemon, until=until)

    def stop(self):
        self.daemon.stop()

    def worker(self):
        """The process that answers now."""
        master = int((self.directory / "nginx-master.pid").read_text())
        children = Path(f"/proc/{master}/task/{master}/children")
        until = time.monotonic() + 30
        while not (found := children.read_text().split()):
            assert time.monotonic() < until, "no worker"
            time.sleep(0.01)
        return int(found[0])


@pytest.fixture
def nginx(tmp_path):
    (tmp_path / "nginx" / "files").mkdir(parents=True)
    started = Nginx(tmp_path / "nginx", free_ports(1)[0])
    user = "user root;" if os.geteuid() == 0 else ""
    (started.directory / "nginx.conf").write_text(SETTINGS.format(user=user, port=started.port))
    started.file.write_bytes(os.urandom(12 * MB))
    started.start()
    yield started
    started.stop()


@pytest.fixture
def disturbed(fetched):
    """Fetches, and calls each of the functions once the download has come as far as its number of bytes."""

    def run(url, *events, stall_seconds=5.0, tries=4):
        waiting = list(events)
        seen = []

        def progress(done, _total):
            seen.append(done)
            if waiting and done >= waiting[0][0]:
                waiting.pop(0)[1]()

        limits = Limits(tries=tries, busy_tries=4, stall_seconds=stall_seconds, backoff_seconds=0.2)
        found = fetched(url, progress=progress, limits=limits)
        assert not waiting
        return found, seen

    return run


def whole(found, nginx):
    content = nginx.file.read_bytes()
    assert found.path.read_bytes() == content
    return found.sha256 == hashlib.sha256(content).hexdigest()


def test_a_slow_download_arrives_in_one_piece(disturbed, nginx):
    began = time.monotonic()
    assert whole(disturbed(nginx.url)[0], nginx)
    assert time.monotonic() - began > 1
    assert nginx.requests == [("200", "-", str(12 * MB))]


def test_a_worker_that_is_killed_costs_no_byte_twice(disturbed, nginx):
    def kill():
        os.kill(nginx.worker(), signal.SIGKILL)

    found, seen = disturbed(nginx.url, (2 * MB, kill), (6 * MB, kill))
    assert whole(found, nginx)
    assert seen == sorted(seen)  # never back to the beginning
    [(status, asked, sent)] = nginx.requests  # the workers that were killed wrote no line
    assert (status, asked.startswith("bytes=")) == ("206", True)
    assert int(asked.removeprefix("bytes=").rstrip("-")) + int(sent) == 12 * MB


def test_a_worker_that_stands_still_is_left_and_the_rest_fetched_from_the_next(disturbed, nginx):
    def stop():
        stopped = nginx.worker()
        os.kill(stopped, signal.SIGSTOP)
        threading.Timer(1.5, os.kill, (stopped, signal.SIGKILL)).start()

    found, seen = disturbed(nginx.url, (3 * MB, stop), stall_seconds=1.0)
    assert whole(found, nginx)
    assert seen == sorted(seen)


def test_a_server_that_is_restarted_meanwhile_is_asked_for_the_rest(disturbed, nginx):
    def restart():
        nginx.stop()
        threading.Timer(0.5, nginx.start).start()

    found, seen = disturbed(nginx.url, (3 * MB, restart))
    assert whole(found, nginx)
    assert seen == sorted(seen)


def test_a_file_that_is_replaced_meanwhile_is_fetched_anew_and_not_mixed(disturbed, nginx):
    def replace():
        beside = nginx.file.with_name("new")
        beside.write_bytes(os.urandom(9 * MB))
        beside.replace(nginx.file)
        os.kill(nginx.worker(), signal.SIGKILL)

    assert whole(disturbed(nginx.url, (3 * MB, replace))[0], nginx)
    assert nginx.requests == [("200", "bytes=" + nginx.requests[0][1].removeprefix("bytes="), str(9 * MB))]


def test_a_server_that_never_comes_back_is_unreachable_and_nothing_is_left(disturbed, nginx, directory):
    with pytest.raises(errors.WeightsUnreachable, match="the connection was refused"):
        disturbed(nginx.url, (3 * MB, nginx.stop))
    assert list(directory.iterdir()) == []


def test_a_server_that_sends_1000_bytes_a_second_has_stalled(disturbed, nginx):
    (nginx.directory / "files" / "drip").mkdir()
    (nginx.directory / "files" / "drip" / "w").write_bytes(nginx.file.read_bytes())
    with pytest.raises(errors.WeightsUnreachable, match="stalled: too few bytes arrived in time"):
        disturbed(nginx.url.replace("/w", "/drip/w"), stall_seconds=2.5, tries=2)  # nginx counts in seconds


@pytest.mark.parametrize(
    ("path", "failure", "says"),
    [
        ("no-such", errors.WeightsNotFound, "status 404"),
        ("busy", errors.WeightsUnreachable, "status 503"),
    ],
)
def test_what_nginx_answers_instead_is_told(disturbed, nginx, path, failure, says):
    with pytest.raises(failure, match=says):
        disturbed(nginx.url.replace("/w", f"/{path}"))


def test_a_file_that_nginx_may_not_read_is_forbidden(disturbed, nginx):
    (nginx.directory / "files" / "folder").mkdir()
    with pytest.raises(errors.WeightsForbidden, match="status 403"):
        disturbed(nginx.url.replace("/w", "/folder/"))
