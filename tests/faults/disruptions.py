"""What happens to the operator and to the API server in the worst moment of an update."""

import threading
import time
from collections.abc import Callable

from demo.cluster import OPERATOR_NAMESPACE
from demo.kube import Kube
from localcluster import cluster
from localcluster.errors import LocalClusterError
from tests.faults.attempt import Disturb, Moment


def kill_operator(kube: Kube) -> None:
    """SIGKILL; its pod is removed too, for a kubelet would wait longer before each further start."""
    here = cluster.current()
    for pod in kube.list("pods", OPERATOR_NAMESPACE):
        for container in pod["status"].get("containerStatuses", []):
            identity = container.get("containerID", "").partition("://")[2]
            for node in here.nodes if here and identity else ():
                try:
                    node.ctr("tasks", "kill", "--signal", "SIGKILL", identity)
                except LocalClusterError:  # it runs on another node, or ends just now
                    continue
        name = pod["metadata"]["name"]
        inside = ("--namespace", OPERATOR_NAMESPACE)
        kube.run("delete", "pod", name, *inside, "--grace-period=0", "--force", "--wait=false")


def when_reported(act: Callable[[], None]) -> Disturb:
    """Acts once, as soon as a bad pod has shown that it is one: while the operator decides."""
    done = threading.Event()

    def disturb(moment: Moment) -> None:
        if (moment.sight.reported is not None or moment.sight.noticed is not None) and not done.is_set():
            done.set()
            act()

    return disturb


class ApiServerAway:
    """Stops the local cluster's API server once, as soon as a pod of a bad v2 is there, for so long.

    Shared by all that are tried at the same time: there is one API server.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    def __call__(self, moment: Moment) -> None:
        """Called at each look."""
        with self._lock:
            if self._thread is None and moment.sight.begun is not None:
                self._thread = threading.Thread(target=self._be_away)
                self._thread.start()

    def join(self) -> None:
        """Waits until it is back."""
        if self._thread is not None:
            self._thread.join()

    def _be_away(self) -> None:
        here = cluster.current()
        if here is None:
            raise RuntimeError("only the local cluster's API server can be stopped")
        here.plane.stop_apiserver()
        try:
            time.sleep(self._seconds)
        finally:
            here.plane.start_apiserver()
