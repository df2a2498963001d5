"""A model with a proven v1 and an update of it, whose pods are what a test says."""

import json

from tests.integration.kubelet import running
from tests.integration.operator_process import (
    DEPLOYMENTS,
    MODELS,
    PODS,
    REVISIONS,
    condition,
    model,
    wait_for,
)

REPLICA_SETS = "/apis/apps/v1/namespaces/{}/replicasets"
QUICK = {"minReadySeconds": 1, "progressDeadlineSeconds": 20, "canary": {"seconds": 2}, "bakeSeconds": 2}
CHECKSUM = json.dumps(
    {"reason": "ChecksumMismatch", "message": "spec.weights.sha256: not these bytes", "retriable": False}
)


def image_of(pod):
    return pod["spec"]["containers"][0]["image"]


def starting():
    return running() | {
        "conditions": [{"type": "PodScheduled", "status": "True", "lastTransitionTime": "NOW"}]
    }


class Update:
    """A proven v1 of three pods, and a v2 whose pods are as `bad` says."""

    def __init__(self, api, namespace, nodes):
        self.api, self.namespace, self.nodes = api, namespace, nodes
        self.pods_of_v2 = running()
        nodes.script = lambda pod: self.pods_of_v2 if image_of(pod).endswith(":v2") else running()
        api.create(MODELS.format(namespace), model(replicas=3, rollout=QUICK))
        self.v1 = wait_for(
            lambda: self.body().get("status", {}).get("stableRevision"), seconds=60, what="v1 proven"
        )
        self.hash = self.hash_of(":v1")
        self.least = self.ready_v1()

    def body(self):
        return self.api.get(f"{MODELS.format(self.namespace)}/cat")

    def deployment(self):
        return self.api.get(f"{DEPLOYMENTS.format(self.namespace)}/cat")

    def update(self, **rollout):
        """Asks for v2, with these fields of `spec.rollout`."""
        spec = {"image": "catfish-server:v2", "rollout": rollout}
        self.api.merge(f"{MODELS.format(self.namespace)}/cat", {"spec": spec})

    def replica_set(self, tag):
        sets = self.api.items(REPLICA_SETS.format(self.namespace))
        return next((item for item in sets if image_of(item["spec"]["template"]).endswith(tag)), None)

    def hash_of(self, tag):
        """The pod-template-hash of the ReplicaSet that has pods of the image; None while there are two or none."""
        sets = self.api.items(REPLICA_SETS.format(self.namespace))
        used = [item for item in sets if image_of(item["spec"]["template"]).endswith(tag) and _pods(item)]
        return used[0]["metadata"]["labels"]["pod-template-hash"] if len(used) == 1 else None

    def pods_of(self, tag):
        return [pod for pod in self.api.items(PODS.format(self.namespace)) if image_of(pod).endswith(tag)]

    def ready_v1(self):
        pods = self.api.items(PODS.format(self.namespace))
        return sum(
            image_of(pod).endswith(":v1")
            and "deletionTimestamp" not in pod["metadata"]
            and any(
                c["type"] == "Ready" and c["status"] == "True" for c in pod["status"].get("conditions", [])
            )
            for pod in pods
        )

    def verdict(self):
        for item in self.api.items(REVISIONS.format(self.namespace)):
            if item["data"]["inputs"]["image"].endswith(":v2"):
                return item["metadata"]["labels"].get("catfish.dev/verdict")
        return None

    def wait_rolled_back(self, reason, *, seconds=30):
        """Waits until v1 alone is there; `least` is how few ready pods of it were seen until then."""

        def back():
            self.least = min(self.least, self.ready_v1())
            body, v2 = self.body(), self.replica_set(":v2")
            is_back = condition(body, "UpToDate").get("reason") == "RolledBack"
            if not is_back or v2["status"].get("replicas", 0) or v2["spec"]["replicas"]:
                return False
            # On the way back it may be 0, until v2's last pod is gone.
            return self.deployment()["spec"].get("minReadySeconds") == 1

        try:
            wait_for(back, seconds=seconds, what="v2 is undone")
        except AssertionError as error:
            raise AssertionError(f"{error}; {self._seen()}") from None
        assert condition(self.body(), "Stalled")["reason"] == reason
        assert self.hash_of(":v1") == self.hash
        assert self.verdict() == "failed"

    def _seen(self):
        """What there is, for the message of a test that fails."""
        deployment, v2 = self.deployment(), self.replica_set(":v2")
        pace = {name: value for name, value in deployment["spec"].items() if name != "template"}
        seen = {
            "model": self.body().get("status"),
            "deployment": {"image": image_of(deployment["spec"]["template"]), "spec": pace},
            "its status": deployment.get("status"),
            "v2": v2 and {"replicas": v2["spec"]["replicas"], "status": v2["status"]},
            "pods": [[image_of(pod), pod["status"]] for pod in self.api.items(PODS.format(self.namespace))],
        }
        return json.dumps(seen)


def _pods(replica_set):
    return replica_set["spec"]["replicas"] or replica_set["status"].get("replicas")
