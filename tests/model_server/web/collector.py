"""What a collector of OpenTelemetry is to its senders: OTLP over HTTP, parsed by the protocol's own messages."""

import gzip
import http.server
import threading

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)


class Collector:
    """Keeps the spans that it is sent; with `stuck` it takes requests and answers none."""

    def __init__(self, *, stuck=False):
        self.spans, self.resource = [], {}
        self.asked, self.over = threading.Event(), threading.Event()
        collector = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                collector.asked.set()
                if stuck:
                    collector.over.wait(60)
                if self.headers.get("Content-Encoding") == "gzip":
                    body = gzip.decompress(body)
                assert self.path == "/v1/traces"
                for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
                    collector.resource = {
                        one.key: one.value.string_value for one in resource.resource.attributes
                    }
                    for scope in resource.scope_spans:
                        collector.spans += scope.spans
                answer = ExportTraceServiceResponse().SerializeToString()
                self.send_response(200)
                self.send_header("Content-Type", "application/x-protobuf")
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, *_arguments):
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True
        ).start()

    def named(self, name):
        """The spans of that name."""
        return [span for span in self.spans if span.name == name]

    def close(self):
        self.over.set()
        self._server.shutdown()
        self._server.server_close()
