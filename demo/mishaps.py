"""What the demo breaks: three bad updates, each noticed, explained and undone while a client asks all the time."""

import base64
import time

from demo import model, pictures, spoiled, tools, weights
from demo.kube import Json, Kube, typed
from demo.load import Load
from demo.report import DemoFailure, Report
from demo.steps import LEAST_BEFORE, RATE

GOLDEN = "golden"
SAMPLES = (
    {"key": pictures.PHOTOGRAPH, "class": "cat"},
    {"key": "clownfish.png", "class": "fish"},
    {"key": "stripedfish.png", "class": "fish"},
)
SECOND = f"{weights.CLUSTER_STORE}/models/catfish-v2.pt"
LEAST_AFTER = 60  # requests that the client sends once the update is undone
NONE: Json = {"image": "catfish-server:v2", "weights": {"url": SECOND, "sha256": None}, "verification": None}
"""Undoes every change of this page: fields that are null are removed."""


def mend(kube: Kube) -> None:
    """Undoes what a demo that was stopped in the middle has left in the spec: `kubectl apply` would keep it."""
    spec = (kube.get("cfm", model.NAME) or {}).get("spec", {})
    if "verification" in spec or "sha256" in spec.get("weights", {}):
        kube.patch(model.NAME, NONE)


def break_and_undo(report: Report, kube: Kube, address: str) -> None:
    """All three, from a proven v2 and back to it."""
    with report.step("v2 is proven: watched long enough to go back to") as step:
        step.outcome = str(model.proven(kube, model.NAME)["status"]["stableRevision"])
    golden_images(report, kube)
    wrong = swapped_weights()
    changes = (
        (
            "v3 whose weights answer wrong",
            {"weights": {"url": wrong}, "verification": verification()},
            "VerificationFailed",
        ),
        ("v3 with a wrong checksum", {"weights": {"url": SECOND, "sha256": "0" * 64}}, "ChecksumMismatch"),
        ("v3 whose image is missing", {"image": "catfish-server:v3"}, "ImagePullFailed"),
    )
    for title, change, reason in changes:
        _undone(report, kube, address, title=title, spec={**NONE, **change}, reason=reason)
    with report.step("the spec asks for v2 again: nothing restarts") as step:
        before = _pods(kube)
        kube.patch(model.NAME, NONE)
        step.outcome = str(model.proven(kube, model.NAME)["status"]["message"])
        if _pods(kube) != before:
            raise DemoFailure(
                "Pods were replaced, though the spec asks for what runs already.", look=typed("get pods")
            )


def golden_images(report: Report, kube: Kube) -> None:
    """`kubectl create configmap`: pictures that a new pod must answer right before it may be Ready."""
    with report.step(f"golden images: ConfigMap {GOLDEN}") as step:
        folder = pictures.collect(tools.cache())
        names = [sample["key"] for sample in SAMPLES]
        data = {name: base64.b64encode((folder / name).read_bytes()).decode() for name in names}
        metadata = {"name": GOLDEN, "namespace": "default"}
        golden = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "binaryData": data}
        kube.apply(golden, large=True)
        step.outcome = ", ".join(names)


def verification() -> Json:
    """`spec.verification`: all golden images are to be answered right."""
    return {"configMapRef": {"name": GOLDEN}, "samples": list(SAMPLES), "minAccuracy": 1.0}


def swapped_weights() -> str:
    """Stores v2's weights with the two classes exchanged; returns their address."""
    return weights.put("models/catfish-v3.pt", spoiled.swapped_labels(weights.get("models/catfish-v2.pt")))


def _undone(report: Report, kube: Kube, address: str, *, title: str, spec: Json, reason: str) -> None:
    """One bad update under load: v2 stays as it is, to the last pod, and no request fails."""
    before = _pods(kube)
    with report.step(f"{title}: undone, under load") as step:
        with Load(address, model.samples(), rate=RATE) as load:
            load.wait_until(lambda seen: seen.total >= LEAST_BEFORE, seconds=60)
            began = time.monotonic()
            # What has failed is not tried again; a second demo asks for it, as `kubectl catfish retry` does.
            kube.patch(model.NAME, spec, annotations={"catfish.dev/retry": str(time.time_ns())})
            found = model.rolled_back(kube, model.NAME, reason)
            took = time.monotonic() - began
            so_far = load.result().total
            load.wait_until(lambda seen: seen.total >= so_far + LEAST_AFTER, seconds=60)
        result = load.result()
        step.outcome = f"{reason}, undone after {took:.0f} s; {result.failed} failed of {result.total}"
        lost = before - _pods(kube)
        if result.failed or lost:
            raise DemoFailure(
                f"The bad update was not harmless: {result.sentence()}. Pods lost: {', '.join(lost) or 'none'}.",
                look=typed("describe cfm/catfish"),
            )
    report.detail(kube.run("get", "cfm", model.NAME))
    report.detail(str(found["status"]["message"]))


def _pods(kube: Kube) -> set[str]:
    """The names of the model's pods that are not on their way out."""
    return {
        str(pod["metadata"]["name"]) for pod in model.pods(kube) if "deletionTimestamp" not in pod["metadata"]
    }
