"""What fake-gcs-server lacks of Google's XML API: it takes a PUT only where its address says that it is signed, and
answers one without an ETag."""

import hashlib
import http.client
import http.server
import threading
from contextlib import contextmanager
from urllib.parse import urlsplit


class Proxy(http.server.BaseHTTPRequestHandler):
    behind: str
    protocol_version = "HTTP/1.1"

    def _hand_on(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        mark = "&" if "?" in self.path else "?"
        path = f"{self.path}{mark}X-Goog-Algorithm=none" if self.command == "PUT" else self.path
        upstream = http.client.HTTPConnection(self.behind, timeout=10)
        try:
            headers = {name: value for name, value in self.headers.items() if name.lower() != "host"}
            upstream.request(self.command, path, body, headers)
            response = upstream.getresponse()
            data = response.read()
        finally:
            upstream.close()
        self.send_response(response.status)
        for name, value in response.getheaders():
            if name.lower() not in {"content-length", "transfer-encoding", "connection", "date"}:
                self.send_header(name, value)
        if self.command == "PUT":
            self.send_header("ETag", f'"{hashlib.md5(body).hexdigest()}"')
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = _hand_on  # noqa: N815 (the names are the library's)

    def log_message(self, *_arguments):
        pass


@contextmanager
def in_front_of(url):
    """The address of a proxy that adds both, and hands on everything else as it is."""
    proxy = type("Proxy", (Proxy,), {"behind": urlsplit(url).netloc})
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), proxy)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
