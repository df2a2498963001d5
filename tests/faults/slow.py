"""A good update whose download takes longer than the deadline: as long as it moves, it is waited for."""

from collections.abc import Callable

from demo import model
from demo.kube import Json, Kube, wait_for
from tests.faults.kinds import FAULTY_STORE

SLOW = f"{FAULTY_STORE}/slow/1000000/models/catfish-v2.pt"
"""Three quarters of a minute."""

TIMES = {"minReadySeconds": 1, "progressDeadlineSeconds": 20, "canary": {"seconds": 0}, "bakeSeconds": 1}


def update(kube: Kube, namespace: str, suspicious: Callable[[str], None]) -> tuple[str, str]:
    """The revisions before and after, once the second one is whole; an error if it ever counted as failed.

    Args:
        kube: the cluster.
        namespace: to make the model in.
        suspicious: called with the namespace when it went wrong.
    """
    try:
        kube.apply(model.manifest("catfish", namespace, replicas=1, rollout=TIMES))
        before = model.proven(kube, "catfish", namespace)["status"]["targetRevision"]
        kube.patch("catfish", {"weights": {"url": SLOW}}, namespace)
        after = wait_for("the slow download to end", lambda: _updated(kube, namespace), seconds=150)
    except BaseException:
        suspicious(namespace)
        raise
    return str(before), str(after["status"]["targetRevision"])


def _updated(kube: Kube, namespace: str) -> Json | None:
    found = model.current(kube, "catfish", namespace)
    failed = found is not None and found["status"].get("failedRevisions")
    assert not failed, failed
    return found if found and model.condition(found, "UpToDate").get("status") == "True" else None
