"""The operator as a process, a client of the API server, a scripted kubelet: what the operator's tests need.

The operator runs with exactly the rights of manifests/base, under its service account's name. There are no
nodes: `Kubelet` plays them by writing the status of pods.
"""

import base64
import http.client
import json
import os
import signal
import ssl
import subprocess
import sys
import tempfile
import time
import urllib.parse
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[2]
OPERATOR = "system:serviceaccount:catfish-system:catfish-operator"
MODELS = "/apis/catfish.dev/v1alpha1/namespaces/{}/catfishmodels"
DEPLOYMENTS = "/apis/apps/v1/namespaces/{}/deployments"
REVISIONS = "/apis/apps/v1/namespaces/{}/controllerrevisions"
SERVICES = "/api/v1/namespaces/{}/services"
BUDGETS = "/apis/policy/v1/namespaces/{}/poddisruptionbudgets"
EVENTS = "/apis/events.k8s.io/v1/namespaces/{}/events"
PODS = "/api/v1/namespaces/{}/pods"
MANIFESTS = ("namespace.yaml", "rbac.yaml", "rbac-users.yaml")


def wait_for(condition, *, seconds=20.0, what="the condition"):
    """Returns the first true answer of `condition`; fails with its last answer otherwise."""
    until = time.monotonic() + seconds
    while True:
        answer = condition()
        if answer:
            return answer
        if time.monotonic() > until:
            raise AssertionError(f"not within {seconds:g} s: {what}: last seen {answer!r}")
        time.sleep(0.05)


class Api:
    """A small client of the API server: one connection a request, JSON in and out."""

    def __init__(self, kubeconfig):
        config = yaml.safe_load(Path(kubeconfig).read_text())
        cluster, user = config["clusters"][0]["cluster"], config["users"][0]["user"]
        self.address = urllib.parse.urlsplit(cluster["server"]).netloc
        self.tls = ssl.create_default_context(cadata=_decode(cluster["certificate-authority-data"]))
        with tempfile.NamedTemporaryFile("w") as both:
            both.write(_decode(user["client-certificate-data"]) + _decode(user["client-key-data"]))
            both.flush()
            self.tls.load_cert_chain(both.name)

    def request(self, method, path, body=None, *, content_type="application/json"):
        """Returns the status and the answer."""
        connection = http.client.HTTPSConnection(self.address, context=self.tls, timeout=20)
        try:
            headers = {"Content-Type": content_type, "Accept": "application/json"}
            connection.request(method, path, None if body is None else json.dumps(body), headers)
            response = connection.getresponse()
            text = response.read()
        finally:
            connection.close()
        return response.status, json.loads(text) if text else {}

    def ok(self, *args, **kwargs):
        """Returns the answer; anything but success is an AssertionError."""
        status, answer = self.request(*args, **kwargs)
        assert 200 <= status < 300, f"{args[:2]}: {status} {answer.get('message')}"
        return answer

    def get(self, path):
        """Returns the object, or None if there is none."""
        status, answer = self.request("GET", path)
        assert status in {200, 404}, f"GET {path}: {status} {answer.get('message')}"
        return answer if status == 200 else None

    def items(self, path, selector=""):
        """Returns the objects of a listing."""
        query = f"?labelSelector={urllib.parse.quote(selector)}" if selector else ""
        return self.ok("GET", path + query)["items"]

    def seen_since(self, path, name, version):
        """Returns every state that an object of a listing was in after a resource version, the oldest first."""
        query = f"?watch=1&timeoutSeconds=2&resourceVersion={version}&fieldSelector=metadata.name%3D{name}"
        connection = http.client.HTTPSConnection(self.address, context=self.tls, timeout=20)
        try:
            connection.request("GET", path + query, headers={"Accept": "application/json"})
            events = [json.loads(line) for line in connection.getresponse()]
        finally:
            connection.close()
        assert all(event["type"] != "ERROR" for event in events), events[-1]
        return [event["object"] for event in events]

    def create(self, path, body):
        """Makes an object."""
        return self.ok("POST", path, body)

    def merge(self, path, body):
        """Changes an object by a merge patch."""
        return self.ok("PATCH", path, body, content_type="application/merge-patch+json")

    def delete(self, path, **options):
        """Deletes an object; one that is gone already is fine."""
        status, answer = self.request("DELETE", path, options or None)
        assert status in {200, 202, 404}, f"DELETE {path}: {status} {answer.get('message')}"


def _decode(text):
    return base64.b64decode(text).decode()


def model(name="cat", **spec):
    """A CatfishModel that the CRD accepts."""
    return {
        "apiVersion": "catfish.dev/v1alpha1",
        "kind": "CatfishModel",
        "metadata": {"name": name},
        "spec": {
            "image": "catfish-server:v1",
            "weights": {"url": "http://store.catfish-store/models/v1.pt"},
            "model": {"architecture": "resnet18", "classes": ["cat", "fish"]},
            "rollout": {"minReadySeconds": 0, "canary": {"seconds": 1}, "bakeSeconds": 1},
            **spec,
        },
    }


def condition(body, kind):
    """One condition of a model's status, or {}."""
    conditions = (body or {}).get("status", {}).get("conditions", [])
    return next((found for found in conditions if found["type"] == kind), {})


def settled(body):
    """Whether the status says, for the present generation, that everything is as asked for."""
    up_to_date = condition(body, "UpToDate")
    return (
        up_to_date.get("status") == "True"
        and body["status"]["observedGeneration"] == body["metadata"]["generation"]
        and condition(body, "Reconciling").get("status") == "False"
    )


class OperatorProcess:
    """The operator, as `python -m catfish_operator`, or as another program of Python's that runs it."""

    def __init__(self, plane, directory, *, user=OPERATOR, program=("-m", "catfish_operator"), **environ):
        self._command = [sys.executable, *program]
        self._log = Path(directory) / f"operator-{time.monotonic_ns()}.log"
        kubeconfig = plane.kubeconfig_for(user, groups=["system:serviceaccounts"])
        self._environ = {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(ROOT / "operator"),
            "KUBECONFIG": str(kubeconfig),
            "CATFISH_ADMIN_HOST": "127.0.0.1",
            "CATFISH_ADMIN_PORT": "0",
            "CATFISH_LOG_FORMAT": "json",
            **environ,
        }
        self._process = None

    def start(self):
        """Starts it, and does not wait."""
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(self._command, env=self._environ, stdout=log, stderr=log)
        return self

    def wait_ready(self, *, seconds=30.0):
        """Waits until /readyz says so."""
        wait_for(lambda: self.probe("/readyz") == 200, seconds=seconds, what=f"ready; {self.text()[-2000:]}")
        return self

    def kill(self):
        """SIGKILL."""
        self._process.kill()
        self._process.wait(10)

    def pause(self):
        """SIGSTOP."""
        self._process.send_signal(signal.SIGSTOP)

    def resume(self):
        """SIGCONT."""
        self._process.send_signal(signal.SIGCONT)

    def terminate(self, *, seconds=10.0):
        """SIGTERM; returns the exit code."""
        self._process.send_signal(signal.SIGTERM)
        return self._process.wait(seconds)

    def stop(self):
        """Ends it, whatever it takes."""
        if self._process and self._process.poll() is None:
            try:
                self.terminate()
            except subprocess.TimeoutExpired:
                self.kill()

    @property
    def pid(self):
        """Its process ID."""
        return self._process.pid

    def running(self):
        """Whether the process lives."""
        return self._process.poll() is None

    def exit_code(self):
        """How it ended; None while it lives."""
        return self._process.poll()

    def text(self):
        """All that it has said."""
        return self._log.read_text() if self._log.exists() else ""

    def lines(self):
        """What it has said, parsed: every line is one JSON object."""
        return [json.loads(line) for line in self.text().splitlines()]

    @property
    def port(self):
        """The port of its probes, None as long as it has not said."""
        for line in self.text().splitlines():
            message = json.loads(line)["message"]
            if "probes and metrics on port " in message:
                return int(message.rpartition(" ")[2])
        return None

    def wait_resyncs(self, number):
        """Waits for so many whole listings begun from now on, each followed by its looks at the models."""
        done = (
            self._resyncs() + number + 1
        )  # one may be under way, and the looks of the last end before the next
        wait_for(lambda: self._resyncs() >= done, seconds=60, what=f"{number} resyncs")

    def _resyncs(self):
        return self.metrics().get('catfish_resyncs_total{result="completed"}', 0)

    def probe(self, path):
        """The status of a probe; 0 while nothing listens."""
        return self.ask(path)[0]

    def ask(self, path):
        """The status and the text of an answer; 0 while nothing listens."""
        if self.port is None:
            return 0, ""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
        try:
            connection.request("GET", path)
            response = connection.getresponse()
            return response.status, response.read().decode()
        except OSError:
            return 0, ""
        finally:
            connection.close()

    def metrics(self):
        """The values of its metrics, by name and labels as they are written."""
        lines = [line for line in self.ask("/metrics")[1].splitlines() if not line.startswith("#")]
        return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines)}
