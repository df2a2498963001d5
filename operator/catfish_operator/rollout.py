"""How far the pods are: observed pods and Deployment of the target revision -> verdict. Called by `plan`."""

import json
import re

from catfish_operator.model import CatfishModel, Json
from catfish_operator.observed import Observed
from catfish_operator.reasons import REPORTED, Verdict, progressing, settled, stalled
from catfish_operator.resources.metadata import REVISION_LABEL

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

PULL_ERRORS = (
    (re.compile(r"(?i)not ?found|manifest unknown|name unknown"), "there is no such image"),
    (re.compile(r"(?i)unauthorized|denied|forbidden|\b40[13]\b"), "the registry wants other credentials"),
    (re.compile(r"(?i)no such host|timeout|refused|unreachable|\b5\d\d\b"), "the registry does not answer"),
)
"""What a pull error means. Its own text changes from try to try, and a status that changes is a write."""


def verdict(observed: Observed, *, model: CatfishModel, target: str) -> Verdict:
    """Says how far the Deployment is on its way to the target revision."""
    live = observed.deployment
    if live is None or revision_of(live) != target:
        return progressing("RolloutStarted", f"Revision {target} ({model.image}) is being rolled out")
    status, wanted = live.get("status") or {}, wanted_replicas(model, live)
    current = (status.get("observedGeneration") or 0) >= live["metadata"].get("generation", 0)
    updated, total, available = (
        status.get(name) or 0 for name in ("updatedReplicas", "replicas", "availableReplicas")
    )
    outdated = [pod for pod in living(observed.pods) if _label(pod) != target]
    if current and updated == total == available == wanted == live["spec"].get("replicas") and not outdated:
        return settled("RolloutCompleted" if wanted else "ScaledToZero")
    found = _pods_obstacle(observed, model=model, target=target)
    if found is None and current:
        found = _deployment_obstacle(live)
    if found is None and current and live["spec"].get("replicas") == wanted:
        if updated < wanted or outdated:
            found = progressing("RolloutStarted", f"{updated} of {wanted} pods run revision {target}")
        elif total > wanted:
            found = progressing("Scaling", f"{total} pods are there, {wanted} wanted")
        else:
            found = progressing("PodsStarting", f"{available} of {wanted} pods are available")
    return found or progressing("Applying")


def wanted_replicas(model: CatfishModel, live: Json | None) -> int:
    """How many pods there should be: the spec's number, else the live one, else the autoscaler's least, else one."""
    if model.replicas is not None:
        return model.replicas
    number = live["spec"].get("replicas") if live else None
    least = model.autoscaling.min_replicas if model.autoscaling else 1
    return least if number is None else int(number)


def revision_of(live: Json | None) -> str | None:
    """The revision whose template a Deployment has."""
    return _label(live["spec"]["template"]) if live else None


def living(pods: tuple[Json, ...]) -> list[Json]:
    """The pods that are neither on their way out nor ended (an evicted one stays listed as Failed)."""
    return [
        pod
        for pod in pods
        if "deletionTimestamp" not in pod["metadata"]
        and (pod.get("status") or {}).get("phase") not in ("Failed", "Succeeded")
    ]


def ready(pod: Json) -> bool:
    """Says whether a pod is Ready."""
    return _condition(pod, "Ready").get("status") == "True"


def _label(item: Json) -> str | None:
    labels = (item.get("metadata") or {}).get("labels") or {}
    name: str | None = labels.get(REVISION_LABEL)
    return name


def _condition(item: Json, kind: str) -> Json:
    conditions = (item.get("status") or {}).get("conditions") or []
    return next((condition for condition in conditions if condition.get("type") == kind), {})


def _pods_obstacle(observed: Observed, *, model: CatfishModel, target: str) -> Verdict | None:
    """What keeps pods of the target revision from getting ready: what they say themselves counts first."""
    pods = sorted(living(observed.pods), key=lambda pod: str(pod["metadata"]["name"]))
    found = [failure for pod in pods if _label(pod) == target and (failure := _failure(pod, model=model))]
    return min(found, key=lambda failure: failure.reason not in REPORTED, default=None)


def _deployment_obstacle(live: Json) -> Verdict | None:
    """What keeps the Deployment from making or replacing pods."""
    if (condition := _condition(live, "ReplicaFailure")).get("status") == "True":
        text = re.sub(r'pods "[^"]*" is forbidden: ', "", str(condition.get("message") or ""))
        return stalled("QuotaExceeded" if "exceeded quota" in text else "AdmissionDenied", text)
    condition = _condition(live, "Progressing")
    if condition.get("status") == "False" and condition.get("reason") == "ProgressDeadlineExceeded":
        return stalled("ProgressDeadlineExceeded", "look at the pods' events and logs")
    return None


def _failure(pod: Json, *, model: CatfishModel) -> Verdict | None:
    """What keeps one pod from getting ready; None if nothing is known to."""
    if ready(pod):
        return None
    scheduled = _condition(pod, "PodScheduled")
    if scheduled.get("status") == "False" and scheduled.get("reason") == "Unschedulable":
        return stalled("Unschedulable", str(scheduled.get("message") or ""))
    for container in (pod.get("status") or {}).get("containerStatuses") or []:
        if not container.get("ready") and (found := _container_failure(container, model=model)):
            return found
    return None


def _container_failure(container: Json, *, model: CatfishModel) -> Verdict | None:
    state = container.get("state") or {}
    waiting = state.get("waiting") or {}
    reason = WAITING.get(str(waiting.get("reason")), "")
    if reason.startswith(("Image", "Invalid")):
        return stalled(reason, _pull_detail(waiting, image=model.image))
    if reason == "ContainerConfigError":
        return stalled(reason, str(waiting.get("message") or ""))
    ended = state.get("terminated") or (container.get("lastState") or {}).get("terminated") or {}
    found = _report(ended.get("message"))
    if found is None and ended.get("reason") == "OOMKilled":
        limit = (model.resources.get("limits") or {}).get("memory") or "not set"
        found = stalled("OutOfMemory", f"resources.limits.memory is {limit}")
    again = ended.get("exitCode") and (container.get("restartCount") or 0) >= STRIKES
    if found is None and (reason or again):
        found = stalled("CrashLooping", f"exit code {ended.get('exitCode')}; the container's log says more")
    return found


def _pull_detail(waiting: Json, *, image: str) -> str:
    if waiting.get("reason") == "ErrImageNeverPull":
        return f"{image} is not on the node, and spec.imagePullPolicy is Never"
    text = str(waiting.get("message") or "").replace(image, "")
    meaning = next((words for pattern, words in PULL_ERRORS if pattern.search(text)), None)
    return f"{image}, {meaning}" if meaning else image


def _report(message: object) -> Verdict | None:
    """What a container said of its own end; None unless it is exactly what docs/contract.md allows."""
    if not isinstance(message, str) or len(message.encode()) > TERMINATION_MESSAGE_BYTES:
        return None
    try:
        report = json.loads(message)
    except (ValueError, RecursionError):
        return None
    if not isinstance(report, dict) or report.keys() != {"reason", "message", "retriable"}:
        return None
    reason, text = report["reason"], report["message"]
    if not isinstance(reason, str) or reason not in REPORTED or not isinstance(text, str):
        return None
    return stalled(reason, text) if isinstance(report["retriable"], bool) else None
