"""What was seen of one bad update, look after look: pods and the model's status -> the figures. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

Json = dict[str, Any]
HASH = "pod-template-hash"
BAD_WAITS = frozenset(
    {
        "ErrImagePull",
        "ImagePullBackOff",
        "ErrImageNeverPull",
        "InvalidImageName",
        "CreateContainerConfigError",
        "CreateContainerError",
        "CrashLoopBackOff",
    }
)
PULL_BACK_OFF = "ImagePullBackOff"

Work = tuple[str, str, int]
"""A pod, its stage, and how far it is in that."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sight:
    """The figures so far. Times are seconds since the change of the spec; None: has not happened.

    Attributes:
        v1: the template hash of the pods that were there before.
        replicas: that are wanted.
        least_v1: the fewest Ready pods of v1 at any look.
        least_ready: the fewest Ready pods of both.
        begun: when a pod of v2 was first there.
        worked: all that pods of v2 have told of their work so far.
        progressed: when one of them last told something new of it, before the failure was noticed; 0: none did.
        reported: when a pod of v2 first showed that something is wrong with it.
        struck: when it did so for the second time.
        served: when a pod of v2 was first Ready.
        noticed: when the status first told of a failure.
        back: since when v1 alone is there, whole; None again if that ends.
        tried_again: pods of v2 that appeared after v1 was back.
        reason: the failure's reason in the status.
        message: the status's sentence.
    """

    v1: str
    replicas: int
    least_v1: int = 10**6
    least_ready: int = 10**6
    begun: float | None = None
    worked: frozenset[Work] = frozenset()
    progressed: float = 0.0
    reported: float | None = None
    struck: float | None = None
    served: float | None = None
    noticed: float | None = None
    back: float | None = None
    tried_again: int = 0
    reason: str = ""
    message: str = ""

    def look(
        self,
        at: float,
        pods: Sequence[Json],
        *,
        failure: tuple[str, str] | None,
        work: frozenset[Work] = frozenset(),
    ) -> Self:
        """The figures after one more look.

        Args:
            at: seconds since the change.
            pods: all of the model.
            work: what the pods of v2 tell of their work.
            failure: reason and sentence that the status gives for a failure of this change, if it does.
        """
        ready = [pod for pod in pods if _ready(pod)]
        v1_ready = sum(_hash(pod) == self.v1 for pod in ready)
        new = fresh(pods, v1=self.v1)
        whole = v1_ready == len(ready) == self.replicas and not any(map(_alive, new))
        tried = self.tried_again + (self.back is not None and any(map(_alive, new)))
        reason, message = failure or (self.reason, self.message)
        noticed = at if failure and self.noticed is None else self.noticed
        over = noticed is not None and whole
        return replace(
            self,
            least_v1=min(self.least_v1, v1_ready),
            least_ready=min(self.least_ready, len(ready)),
            begun=self._first(self.begun, at, bool(new)),
            worked=self.worked | work,
            progressed=at if work - self.worked and noticed is None else self.progressed,
            reported=self._first(self.reported, at, any(_reports(pod) for pod in new)),
            struck=self._first(self.struck, at, any(_struck(pod) for pod in new)),
            served=self._first(self.served, at, any(map(_ready, new))),
            noticed=noticed,
            back=(at if self.back is None else self.back) if over else None,
            tried_again=tried,
            reason=reason,
            message=message,
        )

    @staticmethod
    def _first(before: float | None, at: float, now: bool) -> float | None:
        return at if before is None and now else before


def failure(model: Json, *, generation: int) -> tuple[str, str] | None:
    """The reason and the sentence that a model's status gives for a failure of what its spec asks for."""
    status = model.get("status") or {}
    if (status.get("observedGeneration") or 0) < generation:
        return None
    conditions = {found["type"]: found for found in status.get("conditions") or []}
    stalled = conditions.get("Stalled") or {}
    if stalled.get("status") != "True":
        return None
    return str(stalled["reason"]), str(status.get("message") or "")


def fresh(pods: Sequence[Json], *, v1: str) -> list[Json]:
    """The pods of v2."""
    return [pod for pod in pods if _hash(pod) != v1]


def _alive(pod: Json) -> bool:
    return "deletionTimestamp" not in pod["metadata"]


def _hash(pod: Json) -> str:
    return str((pod["metadata"].get("labels") or {}).get(HASH))


def _ready(pod: Json) -> bool:
    """Says whether a pod gets requests: one that is on its way out does not."""
    conditions = (pod.get("status") or {}).get("conditions") or []
    return _alive(pod) and any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)


def _containers(pod: Json) -> list[Json]:
    return (pod.get("status") or {}).get("containerStatuses") or []


def _waiting(container: Json) -> str:
    return str(((container.get("state") or {}).get("waiting") or {}).get("reason"))


def _ends(container: Json) -> int:
    """How often a container has ended."""
    over = "terminated" in (container.get("state") or {}) or _waiting(container) == "CrashLoopBackOff"
    return int(container.get("restartCount") or 0) + over


def _reports(pod: Json) -> bool:
    return any(_ends(each) >= 1 or _waiting(each) in BAD_WAITS for each in _containers(pod))


def _struck(pod: Json) -> bool:
    """Says whether something went wrong twice; a pull that is put off has failed and will be tried once more."""
    return any(_ends(each) >= 2 or _waiting(each) == PULL_BACK_OFF for each in _containers(pod))
