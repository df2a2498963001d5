"""What a pod's status says: which revision it is of, whether it serves, what keeps it from it. Read by `rollout`."""

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Literal

from catfish_operator.model import CatfishModel, Json
from catfish_operator.reasons import REPORTED
from catfish_operator.resources import deployment
from catfish_operator.resources.metadata import REVISION_LABEL, selector

TERMINATION_MESSAGE_BYTES = 2048
STRIKES = 2
"""Ends of a container after which it counts as crash-looping between its back-offs too."""

WAITING = {
    "ErrImagePull": "ImagePullFailed",
    "ImagePullBackOff": "ImagePullFailed",
    "ErrImageNeverPull": "ImagePullFailed",
    "InvalidImageName": "InvalidImageName",
    "CreateContainerConfigError": "ContainerConfigError",
    "CreateContainerError": "ContainerConfigError",
    "CrashLoopBackOff": "CrashLooping",
}
"""The kubelet's words for why a container waits, and ours."""

NO_SUCH_IMAGE = "there is no such image"
PULL_ERRORS = (
    (re.compile(r"(?i)not ?found|manifest unknown|name unknown"), NO_SUCH_IMAGE),
    (re.compile(r"(?i)unauthorized|denied|forbidden|\b40[13]\b"), "the registry wants other credentials"),
    (re.compile(r"(?i)no such host|timeout|refused|unreachable|\b5\d\d\b"), "the registry does not answer"),
)
"""What a pull error means. Its own text changes from try to try, and a status that changes is a write."""

SAME_MOMENT = timedelta(seconds=2)
"""The kubelet writes whole seconds, and a container's end and its pod's un-readiness at two moments."""

Patience = Literal["none", "strikes", "deadline"]
"""How long a fault may last in a revision that is not proven: not at all, for one strike, until the deadline."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """What keeps a pod (or all of them, `pod` None) from serving.

    Attributes:
        reason: a key of `reasons.STALLED`; the detail may come from anywhere and is not clean.
        strikes: how often it has happened already, where that is counted.
        world: it is the world's fault and not the revision's, which deserves another try by itself.
    """

    reason: str
    detail: str = ""
    pod: str | None = None
    exit_code: int | None = None
    patience: Patience = "deadline"
    strikes: int = 1
    world: bool = False


def revision_of(item: Json | None) -> str | None:
    """The revision that a pod, or the pod template of a Deployment, is labelled with."""
    labels = ((item or {}).get("metadata") or {}).get("labels") or {}
    name: str | None = labels.get(REVISION_LABEL)
    return name


def selected(pods: Iterable[Json], *, name: str) -> list[Json]:
    """The pods that a model's Deployment and Service select: one that was set apart by its labels is none of them."""
    wanted = selector(name).items()
    return [pod for pod in pods if wanted <= (pod["metadata"].get("labels") or {}).items()]


def living(pods: tuple[Json, ...]) -> list[Json]:
    """The pods that are neither on their way out nor ended (an evicted one stays listed as Failed)."""
    return [
        pod
        for pod in pods
        if "deletionTimestamp" not in pod["metadata"]
        and (pod.get("status") or {}).get("phase") not in ("Failed", "Succeeded")
    ]


def condition(item: Json, kind: str) -> Json:
    """A condition of an object's status, {} if it has none of that type."""
    conditions = (item.get("status") or {}).get("conditions") or []
    return next((found for found in conditions if found.get("type") == kind), {})


def ready(pod: Json) -> bool:
    """Says whether a pod is Ready."""
    return condition(pod, "Ready").get("status") == "True"


def server(containers: list[Json] | None) -> Json:
    """The model server's among containers or their statuses: others may stand before it (a service mesh's does)."""
    found = (one for one in containers or [] if one.get("name") == deployment.CONTAINER)
    return next(found, (containers or [{}])[0])


def image(pod: Json) -> tuple[str, str]:
    """The image of the pod's server: its name in the spec, and what the node made of it ("" as long as it did not)."""
    container = server((pod.get("spec") or {}).get("containers"))
    return str(container.get("image") or ""), str(server(_containers(pod)).get("imageID") or "")


def restarts(pod: Json) -> int:
    """How often the pod's server was started again."""
    return int(server(_containers(pod)).get("restartCount") or 0)


def identity(pod: Json) -> str:
    """What tells one pod from a later one of its name."""
    metadata = pod["metadata"]
    return str(metadata.get("uid") or metadata["name"])


def pulling_fails(pod: Json) -> bool:
    """Says whether the pod waits for an image that could not be pulled."""
    waiting = ((container.get("state") or {}).get("waiting") or {} for container in _containers(pod))
    return any(WAITING.get(str(found.get("reason"))) == "ImagePullFailed" for found in waiting)


def since(pod: Json, moment: str | None) -> Json:
    """The pod as it is without the ends of its containers before a moment (RFC 3339), which it still shows."""
    begun, containers = _time(moment), _containers(pod)
    if begun is None or not any(_is_before(container, begun) for container in containers):
        return pod
    kept = [
        container | {"state": {}, "lastState": {}} if _is_before(container, begun) else container
        for container in containers
    ]
    return pod | {"status": pod["status"] | {"containerStatuses": kept}}


def _is_before(container: Json, moment: datetime) -> bool:
    finished = _time(_ended(container).get("finishedAt"))
    return finished is not None and finished < moment


def end_after_ready(pod: Json, *, model: CatfishModel, restarts_when_ready: int | None) -> Fault | None:
    """The end of a server that had been Ready: in a revision that is not proven, one is enough.

    Args:
        pod: the pod.
        model: whose words the detail uses.
        restarts_when_ready: `restarts` when the pod was first seen Ready; None: it was never seen so.
    """
    container = server(_containers(pod))
    ended = _ended(container)
    was_seen = restarts_when_ready is not None and _ends(container) > restarts_when_ready
    if not ended or not (was_seen or _ended_while_ready(pod, ended)):
        return None
    found = _end(ended, model=model)
    detail = f"it had been ready before; {found.detail}"
    return replace(_of(pod, found), detail=detail, patience="none", exit_code=ended.get("exitCode"))


def fault(pod: Json, *, model: CatfishModel) -> Fault | None:
    """What keeps one pod from getting Ready; None if nothing is known to."""
    if ready(pod):
        return None
    scheduled = condition(pod, "PodScheduled")
    if scheduled.get("status") == "False" and scheduled.get("reason") == "Unschedulable":
        return _of(pod, Fault(reason="Unschedulable", detail=str(scheduled.get("message") or ""), world=True))
    for container in _containers(pod):
        if not container.get("ready") and (trouble := _container_fault(container, model=model)):
            return _of(pod, trouble)
    return None


def _of(pod: Json, found: Fault) -> Fault:
    return replace(found, pod=str(pod["metadata"]["name"]))


def _containers(pod: Json) -> list[Json]:
    return (pod.get("status") or {}).get("containerStatuses") or []


def _ended(container: Json) -> Json:
    """How the container ended last, {} if it never has."""
    state, before = container.get("state") or {}, container.get("lastState") or {}
    return state.get("terminated") or before.get("terminated") or {}


def _ends(container: Json) -> int:
    """How often the container has ended: each new start means an end before, and the present one may be over."""
    state = container.get("state") or {}
    over = "terminated" in state or (state.get("waiting") or {}).get("reason") == "CrashLoopBackOff"
    return (container.get("restartCount") or 0) + over


def _ended_while_ready(pod: Json, ended: Json) -> bool:
    """Says whether the container's latest end is what took a pod that had been Ready out of it.

    Told from the pod alone, so that an operator that has just been started sees it too: the condition Ready
    is first written, False, together with Initialized; a later change means that it was True in between.
    All these times are the kubelet's.
    """
    condition_now = condition(pod, "Ready")
    since, first = (
        _time(found.get("lastTransitionTime")) for found in (condition_now, condition(pod, "Initialized"))
    )
    finished = _time(ended.get("finishedAt"))
    if condition_now.get("status") != "False" or since is None or first is None or finished is None:
        return False
    return since > first + SAME_MOMENT and finished >= since - SAME_MOMENT


def _time(text: object) -> datetime | None:
    try:
        return datetime.fromisoformat(text) if isinstance(text, str) else None
    except ValueError:
        return None


def _container_fault(container: Json, *, model: CatfishModel) -> Fault | None:
    waiting = (container.get("state") or {}).get("waiting") or {}
    reason = WAITING.get(str(waiting.get("reason")), "")
    if reason == "InvalidImageName":
        return Fault(reason=reason, detail=model.image, patience="none")
    if reason == "ImagePullFailed":
        detail = _pull_detail(waiting, image=model.image)
        return Fault(reason=reason, detail=detail, patience="strikes", world=NO_SUCH_IMAGE not in detail)
    if reason == "ContainerConfigError":
        return Fault(reason=reason, detail=str(waiting.get("message") or ""))
    ended = _ended(container)
    found = _end(ended, model=model)
    again = ended.get("exitCode") and _ends(container) >= STRIKES
    if found.reason != "CrashLooping" or reason or again:
        strikes = max(_ends(container), STRIKES if reason else 1)
        return replace(found, exit_code=ended.get("exitCode"), strikes=strikes)
    return None


def _end(ended: Json, *, model: CatfishModel) -> Fault:
    """Why a container ended: what it said itself, else what the kubelet says."""
    found = _report(ended.get("message"))
    if found is None and ended.get("reason") == "OOMKilled":
        limit = (model.resources.get("limits") or {}).get("memory") or "not set"
        found = Fault(reason="OutOfMemory", detail=f"resources.limits.memory is {limit}", patience="strikes")
    if found is None:
        detail = f"exit code {ended.get('exitCode')}; the container's log says more"
        found = Fault(reason="CrashLooping", detail=detail, patience="strikes")
    return found


def _pull_detail(waiting: Json, *, image: str) -> str:
    if waiting.get("reason") == "ErrImageNeverPull":
        return f"{image} is not on the node, and spec.imagePullPolicy is Never"
    text = str(waiting.get("message") or "").replace(image, "")
    meaning = next((words for pattern, words in PULL_ERRORS if pattern.search(text)), None)
    return f"{image}, {meaning}" if meaning else image


def _report(message: object) -> Fault | None:
    """What a container said of its own end; None unless it is exactly what docs/contract.md allows."""
    if not isinstance(message, str) or len(message.encode()) > TERMINATION_MESSAGE_BYTES:
        return None
    try:
        report = json.loads(message)
    except (ValueError, RecursionError):
        return None
    if not isinstance(report, dict) or report.keys() != {"reason", "message", "retriable"}:
        return None
    reason, text, retriable = report["reason"], report["message"], report["retriable"]
    if not isinstance(reason, str) or reason not in REPORTED or not isinstance(text, str):
        return None
    if not isinstance(retriable, bool):
        return None
    return Fault(reason=reason, detail=text, patience="deadline" if retriable else "none", world=retriable)
