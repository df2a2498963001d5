"""The words for what can be the matter with a model. One list: conditions, Events and docs use the same.

A reason is the stable word that programs test for. Its sentence here is what a person reads;
`Verdict.message` adds what is known of the case at hand.
"""

import re
from dataclasses import dataclass
from typing import Final, Literal

STALLED: Final = {
    "ImagePullFailed": "The image cannot be pulled",
    "InvalidImageName": "spec.image is not the name of an image",
    "ContainerConfigError": "The container cannot be made from its configuration",
    "CrashLooping": "The server keeps ending by itself",
    "OutOfMemory": "The server needs more memory than spec.resources allows",
    "Unschedulable": "No node has room for the pod",
    "QuotaExceeded": "A quota of the namespace is used up",
    "AdmissionDenied": "An admission rule of the cluster refuses the object",
    "WeightsNotFound": "There are no weights at spec.weights.url",
    "WeightsForbidden": "The store refuses to hand out the weights",
    "WeightsUnreachable": "The store of the weights does not answer",
    "DiskFull": "The weights do not fit on the disk that the pod may use",
    "ChecksumMismatch": "The weights do not hash to spec.weights.sha256",
    "UnsupportedFormat": "What lies at spec.weights.url is no form of weights that can be loaded",
    "WebPage": "What lies at spec.weights.url is a web page, not weights",
    "PickledModel": "What lies at spec.weights.url is a whole pickled model, which is code that is never run",
    "DamagedWeights": "The file of the weights is empty, cut short or damaged",
    "UnsafeWeights": "Loading the weights asks for more than weights need",
    "ArchitectureMismatch": "The weights do not fit spec.model",
    "NonFiniteWeights": "The weights hold values that are not finite",
    "ProgressDeadlineExceeded": "The rollout made no progress within spec.rollout.progressDeadlineSeconds",
    "VerificationFailed": "The model does not answer the golden images of spec.verification as expected",
    "CanaryErrorRate": "The new pods answer more requests with errors than spec.rollout.canary allows",
    "CanaryLatency": "The new pods answer more slowly than spec.rollout.canary allows",
    "NameConflict": "An object that the model needs belongs to somebody else",
    "InvalidSpec": "The spec cannot be obeyed",
    "Overruled": "What the operator writes is changed by an admission rule or another controller each time",
}
"""Why a model will not get there without a person or a change of the world."""

RECONCILING: Final = {
    "Applying": "Changes are being written",
    "WaitingForDeletion": "An object of an earlier model of this name is still being deleted",
    "RolloutStarted": "Pods of the target revision are being started",
    "Scaling": "The number of pods is being changed",
    "PodsStarting": "Pods are not available yet",
    "Canary": "The first pods of the target revision are being watched",
    "Baking": "Every pod runs the target revision, which is watched until it counts as proven",
}
"""What is awaited while a model is on its way."""

SETTLED: Final = {
    "RolloutCompleted": "Every pod runs what the spec asks for",
    "ScaledToZero": "spec.replicas is 0",
    "Serving": "A pod behind the Service answers",
    "NoReadyPods": "No pod can answer yet",
    "NoService": "There is no Service of the model",
    "ImageChanged": "A pod runs another image than the first pod of its revision did",
    "WeightsChanged": "A pod has loaded other weights than the first pod of its revision did",
    "NotStalled": "Nothing is in the way",
    "RolledBack": "The last proven revision serves instead of what the spec asks for",
    "RevisionQuarantined": "The spec asks for a revision that has failed before, which is not tried again",
    "Paused": "spec.rollout.paused is true",
    "WeightsLoaded": "A pod of the target revision has fetched, verified and loaded the weights",
    "WeightsAwaited": "No pod of the target revision has loaded the weights yet",
}
"""What else the conditions say."""

EVENTS: Final = {
    "CanaryUnobserved": "A revision was released by time alone: too few requests to compare its first pods by",
    "DriftRepaired": "Somebody changed an object of the model, and the change was taken back",
    "Superseded": "Another revision was asked for while this one's rollout had not ended",
}
"""What an Event tells and no condition does."""

SENTENCES: Final = STALLED | RECONCILING | SETTLED

WEIGHTS: Final = frozenset(
    {
        "WeightsNotFound",
        "WeightsForbidden",
        "WeightsUnreachable",
        "DiskFull",
        "ChecksumMismatch",
        "UnsupportedFormat",
        "WebPage",
        "PickledModel",
        "DamagedWeights",
        "UnsafeWeights",
        "ArchitectureMismatch",
        "NonFiniteWeights",
    }
)
"""Reasons that speak of the weights: the condition WeightsReady repeats them."""

REPORTED: Final = WEIGHTS | {"VerificationFailed", "InvalidSpec", "OutOfMemory"}
"""Reasons that a container may give for its own end: the table of docs/contract.md."""

CONSIDERED: Final = 4096
SHOWN: Final = 600
"""Characters of foreign text that are read at all, and that are shown."""

SECRETS: Final = (
    (re.compile(r"://[^\s/@]*@"), "://"),
    (re.compile(r"(://[^\s?\"']*)\?[^\s\"']*"), r"\1"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """How far a model is.

    Attributes:
        phase: `settled`; `progressing`; `baking`: every pod is new, none is proven; `paused`; `stalled`;
            `reverted`: the last proven revision serves instead of the target.
        reason: a key of `SENTENCES`.
        message: one sentence about the case at hand; it holds nothing that changes while nothing happens.
        cause: why a reverted model was reverted, a key of `STALLED`; empty in other phases.
    """

    phase: Literal["settled", "progressing", "baking", "paused", "stalled", "reverted"]
    reason: str
    message: str
    cause: str = ""


def stalled(reason: str, detail: str = "") -> Verdict:
    """The verdict that something is in the way: the reason's own sentence and, after a colon, the detail."""
    return Verdict(phase="stalled", reason=reason, message=sentence(reason, detail))


def progressing(reason: str, detail: str = "") -> Verdict:
    """The verdict that the model is on its way: the detail, if any, says it better than the reason."""
    return Verdict(phase="progressing", reason=reason, message=f"{detail}." if detail else sentence(reason))


def settled(reason: str, detail: str = "") -> Verdict:
    """The verdict that nothing is left to do."""
    return Verdict(phase="settled", reason=reason, message=sentence(reason, detail))


def sentence(reason: str, detail: str = "") -> str:
    """The reason's sentence with the detail of the case, which may come from anywhere and is cleaned."""
    text = presentable(detail)
    return f"{SENTENCES[reason]}: {text}." if text else f"{SENTENCES[reason]}."


def presentable(text: str) -> str:
    """The text on one line, printable and bounded, with no userinfo and no query in its URLs."""
    line = " ".join("".join(char if char.isprintable() else " " for char in text[:CONSIDERED]).split())
    for pattern, replacement in SECRETS:
        line = pattern.sub(replacement, line)
    return line[:SHOWN].rstrip(". ")
