"""A scripted kubelet: plays the nodes by writing the status of pods."""

import http.client
import json
import threading
from contextlib import contextmanager
from datetime import UTC, datetime

from tests.integration.operator_process import PODS


class Kubelet(threading.Thread):
    """Plays the nodes of one namespace (or, None, of all): brings every pod to what `script(pod)` says.

    A script returns the pod's status, or None to leave the pod alone. The default makes every pod Ready.
    """

    def __init__(self, api, namespace=None, script=None):
        super().__init__(daemon=True)
        self.api = api
        self.namespace = namespace
        self.script = script or (lambda _: running())
        self._ended = threading.Event()
        self._done = {}

    def run(self):
        path = PODS.format(self.namespace) if self.namespace else "/api/v1/pods"
        while not self._ended.wait(0.1):
            try:
                for pod in self.api.items(path, "app.kubernetes.io/name=catfish-model"):
                    self._bring(pod)
            except (OSError, ValueError, AssertionError, http.client.HTTPException):
                continue  # the API server may be away, or the pod gone; the next round is soon

    def _bring(self, pod):
        path = f"{PODS.format(pod['metadata']['namespace'])}/{pod['metadata']['name']}"
        if "deletionTimestamp" in pod["metadata"]:
            self.api.delete(path, gracePeriodSeconds=0)
            return
        status = self.script(pod)
        uid = pod["metadata"]["uid"]
        if status is not None and self._done.get(uid) != status:
            stamped = json.loads(json.dumps(status).replace("NOW", datetime.now(UTC).strftime("%FT%TZ")))
            self.api.merge(f"{path}/status", {"status": stamped})
            self._done[uid] = status

    def stop(self):
        """Ends the thread."""
        self._ended.set()
        self.join(30)


@contextmanager
def kubelet(api, namespace=None, script=None):
    """A kubelet for the time of a block; its script may be replaced."""
    thread = Kubelet(api, namespace, script)
    thread.start()
    try:
        yield thread
    finally:
        thread.stop()


def running():
    """The status of a pod that answers."""
    state = {"running": {"startedAt": "NOW"}}
    return {
        "phase": "Running",
        "podIP": "10.0.0.1",
        "podIPs": [{"ip": "10.0.0.1"}],
        "conditions": [
            {"type": kind, "status": "True", "lastTransitionTime": "NOW"}
            for kind in ("PodScheduled", "Initialized", "ContainersReady", "Ready")
        ],
        "containerStatuses": [_container(ready=True, started=True, restartCount=0, state=state)],
    }


def failing(message, *, exit_code=13, reason="Error"):
    """The status of a pod whose container has ended with a termination message, and will be started again."""
    ended = {
        "exitCode": exit_code,
        "reason": reason,
        "message": message,
        "startedAt": "NOW",
        "finishedAt": "NOW",
    }
    return {
        "phase": "Running",
        "conditions": [
            {"type": "PodScheduled", "status": "True", "lastTransitionTime": "NOW"},
            {"type": "Ready", "status": "False", "reason": "ContainersNotReady", "lastTransitionTime": "NOW"},
        ],
        "containerStatuses": [
            _container(
                ready=False,
                started=False,
                restartCount=2,
                state={"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 20s"}},
                lastState={"terminated": ended},
            )
        ],
    }


def _container(**more):
    return {"name": "server", "image": "catfish-server", "imageID": "sha256:0", **more}
