import http.server
import threading

import pytest
import yaml


@pytest.fixture
def server():
    """An HTTP server that gives one answer to everything and notes what was asked."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def answer(self):
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            self.server.asked.append((self.command, self.path, dict(self.headers), body))
            status, text = self.server.answer
            self.send_response(status)
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        do_GET = do_PATCH = answer  # noqa: N815 - the library's own words

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        running.asked, running.answer = [], (200, b"{}")
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield running
        running.shutdown()
        thread.join()


@pytest.fixture
def kubeconfig(tmp_path, server):
    return write_kubeconfig(tmp_path / "config", f"http://127.0.0.1:{server.server_port}")


def write_kubeconfig(path, url):
    contexts = [
        {"name": "one", "context": {"cluster": "a", "user": "a"}},
        {"name": "two", "context": {"cluster": "a", "user": "a", "namespace": "pets"}},
    ]
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "a", "cluster": {"server": url}}],
        "users": [{"name": "a", "user": {"token": "secret-token"}}],
        "contexts": contexts,
        "current-context": "one",
    }
    path.write_text(yaml.safe_dump(config))
    return str(path)
