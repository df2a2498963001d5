"""The kinds of bad update: how the spec changes, and what must come of it. Data, no more."""

from dataclasses import dataclass, field
from typing import Any, Literal

from demo.weights import CLUSTER_STORE
from tests.faults import images

NAMESPACE = "catfish-faults"
PORT = 5005
FAULTY_STORE = f"http://faulty-store.{NAMESPACE}"
REGISTRY = f"localhost:{PORT}"
GOLDEN = "golden"
"""The ConfigMap with the golden images, in each namespace."""

DEADLINE, CANARY, BAKE, MIN_READY = 60, 20, 20, 10
"""Seconds; printed beside every figure that was measured with them. The last is the default."""

Patience = Literal["none", "after ready", "strikes", "deadline"]

BACK_SECONDS = {"none": 10.0, "after ready": 10.0, "strikes": 30.0, "deadline": DEADLINE + 10.0}
"""How soon v1 is whole again: after the first report of a bad pod, after the exit of a container that had been
ready, after the second strike, after the last progress of the new pods (the change of the spec, if there was none)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """One kind of bad v2.

    Attributes:
        name: what is wrong with it.
        spec: what changes in the model's spec.
        reasons: those that may be shown for it.
        patience: how long it may take to notice, a key of `BACK_SECONDS`.
        serves: whether a bad pod becomes Ready, so that clients may meet it. What does not, nobody may notice.
        released: whether it shows only after the first new pod was watched: v1's pods are then being replaced.
        retried: whether it may be tried again by itself, because the world is to blame.
        quota: whether the namespace has no room for one more pod.
        plain: what changes on a plain Deployment instead, which has no golden images.
    """

    name: str
    spec: dict[str, Any]
    reasons: frozenset[str]
    patience: Patience
    serves: bool = False
    released: bool = False
    retried: bool = False
    quota: bool = False
    plain: dict[str, Any] | None = field(default=None)


def _faulty(fault: str, **spec: Any) -> dict[str, Any]:
    return {"image": images.NAME, "env": [{"name": "FAULT", "value": fault}], **spec}


def _weights(url: str, **fields: Any) -> dict[str, Any]:
    return {"weights": {"url": url, **fields}}


def _stored(name: str) -> dict[str, Any]:
    return _weights(f"{CLUSTER_STORE}/models/{name}")


def _kind(name: str, spec: dict[str, Any], reasons: str, patience: Patience, **rest: Any) -> Kind:
    return Kind(name=name, spec=spec, reasons=frozenset(reasons.split()), patience=patience, **rest)


SAMPLES = (
    {"key": "chelsea.png", "class": "cat"},
    {"key": "clownfish.png", "class": "fish"},
    {"key": "stripedfish.png", "class": "fish"},
)
_VERIFICATION = {"configMapRef": {"name": GOLDEN}, "samples": list(SAMPLES), "minAccuracy": 1.0}
_SMALL = {"resources": {"limits": {"memory": "256Mi"}}}

KINDS = (
    _kind("missing image", {"image": f"{REGISTRY}/catfish-server:v9"}, "ImagePullFailed", "strikes"),
    _kind(
        "bad digest",
        {"image": f"{REGISTRY}/catfish-server@sha256:{'0' * 64}"},
        "ImagePullFailed",
        "strikes",
    ),
    _kind("crash at start", _faulty("crash-at-start"), "CrashLooping", "strikes"),
    _kind(
        "crash after 30 s",
        _faulty("crash-after-ready:30"),
        "CrashLooping",
        "after ready",
        serves=True,
        released=True,
    ),
    _kind("never ready", _faulty("never-ready"), "ProgressDeadlineExceeded", "deadline"),
    _kind("ready then 5xx", _faulty("ready-then-5xx:1"), "CanaryErrorRate", "after ready", serves=True),
    _kind("slow beyond deadline", _faulty("slow-start:600"), "ProgressDeadlineExceeded", "deadline"),
    _kind("out of memory", _faulty("out-of-memory", **_SMALL), "OutOfMemory", "strikes"),
    _kind("weights 404", _stored("no-such.pt"), "WeightsNotFound", "none"),
    _kind("weights 403", _weights(f"{FAULTY_STORE}/403/catfish-v2.pt"), "WeightsForbidden", "none"),
    _kind(
        "weights 500",
        _weights(f"{FAULTY_STORE}/500/catfish-v2.pt"),
        "WeightsUnreachable ProgressDeadlineExceeded",
        "deadline",
        retried=True,
    ),
    _kind(
        "weights stalled",
        _weights(f"{FAULTY_STORE}/stalled/models/catfish-v2.pt"),
        "WeightsUnreachable ProgressDeadlineExceeded",
        "deadline",
        retried=True,
    ),
    _kind("weights truncated", _stored("truncated.pt"), "DamagedWeights", "none"),
    _kind(
        "wrong checksum",
        _weights(f"{CLUSTER_STORE}/models/catfish-v2.pt", sha256="0" * 64),
        "ChecksumMismatch",
        "none",
    ),
    _kind("wrong keys", _stored("other-keys.pt"), "ArchitectureMismatch", "none"),
    _kind("NaN", _stored("not-finite.pt"), "NonFiniteWeights", "none"),
    _kind("pickle bomb", _stored("code.pt"), "UnsafeWeights", "none"),
    _kind(
        "wrong answers",
        _stored("swapped.pt") | {"verification": _VERIFICATION},
        "VerificationFailed",
        "none",
        plain=_stored("swapped.pt"),
    ),
    _kind(
        "unschedulable",
        {"image": "catfish-server:v2", "nodeSelector": {"catfish.dev/no-such": "node"}},
        "Unschedulable",
        "deadline",
        retried=True,
    ),
    _kind("quota", {"image": "catfish-server:v2"}, "QuotaExceeded", "deadline", retried=True, quota=True),
)
"""The twenty of the campaign R16."""

BY_NAME = {kind.name: kind for kind in KINDS}

CRASH_IN_CANARY = _kind(
    "crash after 20 s", _faulty("crash-after-ready:20"), "CrashLooping", "after ready", serves=True
)
WITH_DEFAULTS = (BY_NAME["missing image"], CRASH_IN_CANARY, BY_NAME["wrong answers"])
"""Tried with the default times of a model too."""
