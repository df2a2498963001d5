"""A model in every state that its status can tell, as the API server gives it: for explain, Argo CD and kstatus."""

import copy

V1, V2 = "cat-1111111111", "cat-2222222222"
THEN = "2026-01-02T03:04:05Z"
DIGEST = "The weights do not hash to spec.weights.sha256: expected 9f86, got 60303a."


def model(status=None, *, generation=2, image="catfish-server:v2", **metadata):
    """A model of namespace `pets` whose spec asks for version 2."""
    body = {
        "apiVersion": "catfish.dev/v1alpha1",
        "kind": "CatfishModel",
        "metadata": {
            "name": "cat",
            "namespace": "pets",
            "uid": "uid-model",
            "resourceVersion": "7",
            "generation": generation,
            **metadata,
        },
        "spec": {
            "image": image,
            "weights": {"url": "https://models.example.com/v2.pt"},
            "model": {"architecture": "resnet18", "classes": ["cat", "fish"]},
        },
    }
    return body | ({"status": status} if status else {})


def serving(*revisions):
    images = {V1: "catfish-server:v1", V2: "catfish-server:v2"}
    return [{"name": name, "image": images[name], "pods": pods} for name, pods in revisions]


def said(
    *,
    nothing=None,
    up_to_date,
    why="How it is.",
    reconciling=None,
    stalled=None,
    pods=(),
    observed=2,
    **others,
):
    """A status. `up_to_date` is True or the reason why not; of the others, (reason, message) says that they are so."""
    conditions = [
        _condition(
            "Ready", not nothing, "Serving" if not nothing else nothing[0], nothing[1] if nothing else "."
        ),
        _condition(
            "UpToDate",
            up_to_date is True,
            "RolloutCompleted" if up_to_date is True else up_to_date,
            why,
        ),
        _condition("Reconciling", reconciling is not None, *(reconciling or ("RolloutCompleted", "Done."))),
        _condition("Stalled", stalled is not None, *(stalled or ("NotStalled", "Nothing is in the way."))),
    ]
    return {
        "observedGeneration": observed,
        "message": "What serves, and what is the matter.",
        "conditions": conditions,
        "targetRevision": V2,
        "servingRevisions": serving(*pods),
        "url": "http://192.0.2.1",
        **others,
    }


def _condition(kind, true, reason, message):
    return {
        "type": kind,
        "status": "True" if true else "False",
        "reason": reason,
        "message": message,
        "observedGeneration": 2,
        "lastTransitionTime": THEN,
    }


def failed(reason="ChecksumMismatch", message=DIGEST, **others):
    return [{"name": V2, "reason": reason, "message": message, "failedAt": THEN, **others}]


NO_POD = ("NoReadyPods", "No pod can answer yet.")
STARTED = ("RolloutStarted", "Pods of the target revision are being started.")
CANARY = ("Canary", "The first pods of the target revision are being watched.")
BAKING = ("Baking", "Every pod runs the target revision, which is watched until it counts as proven.")
MISMATCH = ("ChecksumMismatch", DIGEST)
NO_ROOM = ("Unschedulable", "No node has room for the pod: 0/1 nodes are available.")

MODELS = {
    "unseen": model({"observedGeneration": -1}, generation=1),
    "creating": model(
        said(nothing=NO_POD, up_to_date="RolloutStarted", reconciling=STARTED, observed=1), generation=1
    ),
    "changed": model(said(up_to_date=True, pods=[(V1, 3)], targetRevision=V1, observed=1)),
    "rolling": model(
        said(up_to_date="RolloutStarted", reconciling=STARTED, pods=[(V1, 3)], stableRevision=V1)
    ),
    "canary": model(
        said(up_to_date="Canary", reconciling=CANARY, pods=[(V1, 3), (V2, 1)], stableRevision=V1)
    ),
    "baking": model(said(up_to_date=True, reconciling=BAKING, pods=[(V2, 3)], stableRevision=V1)),
    "settled": model(said(up_to_date=True, pods=[(V2, 3)], stableRevision=V2)),
    "scaled to zero": model(said(nothing=("ScaledToZero", "spec.replicas is 0."), up_to_date=True)),
    "rolled back": model(
        said(
            up_to_date="RolledBack",
            stalled=MISMATCH,
            pods=[(V1, 3)],
            stableRevision=V1,
            failedRevisions=failed(pod="cat-2222222222-x2x5z", exitCode=13),
        )
    ),
    "retry pending": model(
        said(
            up_to_date="RolledBack",
            stalled=NO_ROOM,
            pods=[(V1, 3)],
            stableRevision=V1,
            failedRevisions=failed(*NO_ROOM, retryAt="2026-01-02T03:12:05Z"),
        )
    ),
    "first stalled": model(said(nothing=NO_POD, up_to_date="ChecksumMismatch", stalled=MISMATCH)),
    "paused": model(
        said(
            up_to_date="Paused",
            why="spec.rollout.paused is true.",
            reconciling=("Paused", "spec.rollout.paused is true."),
            pods=[(V1, 3)],
            stableRevision=V1,
        )
    ),
    "deleted": model(said(up_to_date=True, pods=[(V2, 3)]), deletionTimestamp="2026-01-02T03:05:00Z"),
}


def named(name):
    """One of them, to be changed at will."""
    return copy.deepcopy(MODELS[name])


def controller_revision(name, number, *, verdict=None, uid="uid-model", inputs=None, **annotations):
    """A ControllerRevision as it lies in the API."""
    metadata = {
        "name": name,
        "namespace": "pets",
        "labels": {"catfish.dev/model": "cat"} | ({"catfish.dev/verdict": verdict} if verdict else {}),
        "annotations": {f"catfish.dev/{key}": value for key, value in annotations.items()},
        "ownerReferences": [{"kind": "CatfishModel", "name": "cat", "uid": uid, "controller": True}],
    }
    data = {"inputs": inputs or {}, "template": {}}
    return {
        "apiVersion": "apps/v1",
        "kind": "ControllerRevision",
        "metadata": metadata,
        "data": data,
        "revision": number,
    }
