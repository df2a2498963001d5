"""All that can be wrong with weights: a model each, all of them side by side, for most of it is waiting."""

import base64
import gzip
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from catfish_server import errors
from demo import model, spoiled, weights
from demo.kube import wait_for
from demo.report import DemoFailure
from tests.asking import assert_serves, photograph
from tests.cluster_fixtures import QUICK, a_namespace

pytestmark = pytest.mark.e2e
FAILURE_SECONDS = 240.0
"""The start of a dozen pods at once on a busy machine, and time for the kubelet to tell of their ends."""

V1 = "models/catfish-v1.pt"
GOOD = {"url": f"{weights.CLUSTER_STORE}/{V1}"}
GOLDEN = "golden"


def wrong_shapes() -> bytes:
    """Weights of a model with three classes: the keys are right, the shapes of the head are not."""
    import io

    import torch
    from torchvision.models import resnet18

    stored = io.BytesIO()
    torch.save(resnet18(num_classes=3).state_dict(), stored)
    return stored.getvalue()


def wrong_keys() -> bytes:
    import io

    import torch

    stored = io.BytesIO()
    torch.save({"layer.weight": torch.zeros(2, 2), "layer.bias": torch.zeros(2)}, stored)
    return stored.getvalue()


def whole_model() -> bytes:
    """A model where its weights should be."""
    import io

    import torch

    stored = io.BytesIO()
    torch.save(torch.nn.Sequential(torch.nn.Linear(2, 2)), stored)
    return stored.getvalue()


def golden_image(namespace):
    """A ConfigMap with the photograph of the cat."""
    metadata = {"name": GOLDEN, "namespace": namespace}
    data = {"cat.png": base64.b64encode(photograph()).decode()}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "binaryData": data}


@dataclass(frozen=True)
class Case:
    """What changes in good weights, or what lies at their address, or else in the spec; and the reason to be shown."""

    reason: str
    change: dict[str, str] = field(default_factory=dict)
    content: Callable[[], bytes] | None = None
    rest: dict[str, Any] = field(default_factory=dict)

    def spec(self, name):
        """What the model of this name has; what is to lie in the store is put there."""
        stored = {"url": weights.put(f"models/{name}.pt", self.content())} if self.content else {}
        return {"weights": GOOD | self.change | stored} | self.rest


CASES = {
    "not-there": Case("WeightsNotFound", {"url": f"{weights.CLUSTER_STORE}/models/no-such.pt"}),
    "another-digest": Case("ChecksumMismatch", {"sha256": "0" * 64}),
    "other-shapes": Case("ArchitectureMismatch", content=wrong_shapes),
    "other-keys": Case("ArchitectureMismatch", content=wrong_keys),
    "a-page": Case("WebPage", content=lambda: b"<!doctype html><html><body>Sign in</body></html>"),
    "compressed": Case("UnsupportedFormat", content=lambda: gzip.compress(weights.get(V1))),
    "whole-model": Case("PickledModel", content=whole_model),
    "half": Case("DamagedWeights", content=lambda: spoiled.truncated(weights.get(V1))),
    "runs-code": Case("UnsafeWeights", content=lambda: spoiled.code(weights.get(V1))),
    "not-finite": Case("NonFiniteWeights", content=lambda: spoiled.not_finite(weights.get(V1))),
    "nobody-there": Case(
        "WeightsUnreachable",
        {"url": "http://127.0.0.1:1/w.pt"},
        rest={"rollout": QUICK | {"progressDeadlineSeconds": 20}},
    ),
    "no-classes": Case("InvalidSpec", rest={"model": {"architecture": "resnet18", "imageSize": 96}}),
    "wrong-answer": Case(
        "VerificationFailed",
        rest={
            "verification": {
                "configMapRef": {"name": GOLDEN},
                "samples": [{"key": "cat.png", "class": "fish"}],
            }
        },
    ),
}
"""Of every reason that `test_there_is_a_model_for_every_reason` does not leave out."""


class Patients:
    """The models of all cases: looked at until each is Stalled for its reason, then given the good weights.

    Attributes:
        namespace: where they are.
        stalled: the models, by name, as they were when they told the right reason.
        last: the models as they were seen last before they were healed.
        ready: the names of those that were Ready at any look before that.
    """

    def __init__(self, kube, namespace):
        self._kube, self.namespace = kube, namespace
        self.stalled, self.last, self.ready = {}, {}, set()

    def fall_ill(self):
        """Returns once all are Stalled, or after long enough: what is missing, its own test will tell."""
        self._kube.apply(golden_image(self.namespace), large=True)
        self._apply({name: case.spec(name) for name, case in CASES.items()})
        try:
            wait_for("all to be Stalled", self._look, seconds=FAILURE_SECONDS)
        except DemoFailure:
            assert self.last, "no model was seen at all"

    def heal(self):
        """Gives all of them good weights, and does not wait."""
        self._apply({name: {"weights": GOOD} for name in CASES})

    def _apply(self, each):
        manifests = [
            model.manifest(name, self.namespace, **{"rollout": QUICK} | spec) for name, spec in each.items()
        ]
        self._kube.apply(*manifests)

    def _look(self):
        for found in self._kube.list("cfm", self.namespace):
            name = found["metadata"]["name"]
            self.last[name] = found
            if model.condition(found, "Ready").get("status") == "True":
                self.ready.add(name)
            condition = model.condition(found, "Stalled")
            if (condition.get("status"), condition.get("reason")) == ("True", CASES[name].reason):
                self.stalled.setdefault(name, found)
        return self.stalled.keys() == CASES.keys()


@pytest.fixture(scope="module")
def patients(kube, installation):
    with a_namespace(kube, installation, "e2e-bad-weights") as namespace:
        made = Patients(kube, namespace)
        made.fall_ill()
        made.heal()
        yield made


def test_there_is_a_model_for_every_reason():
    """But for keys, which are test_weights.py's, and for what others have taken of memory and disk."""
    reasons = {failure.reason for failure in errors.StartupFailure.__subclasses__()}
    assert {case.reason for case in CASES.values()} == reasons - {
        "WeightsForbidden",
        "OutOfMemory",
        "DiskFull",
    }


@pytest.mark.parametrize("name", CASES)
def test_bad_weights_never_serve_and_say_why_and_a_right_spec_heals(kube, patients, name):
    assert name in patients.stalled, patients.last.get(name)
    assert name not in patients.ready
    message = patients.stalled[name]["status"]["message"]
    assert re.search(r"spec\.(weights|model|verification)", message)
    assert "\n" not in message
    assert not re.search(r"Traceback|File \"", message)
    settled = model.settled(kube, name, patients.namespace)
    assert model.condition(settled, "Stalled")["status"] == "False"
    assert_serves(kube, patients.namespace, name)
