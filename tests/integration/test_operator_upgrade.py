"""Another version of the operator and of the CRD: nothing that runs is touched, and what is new gets the new form."""

import pytest
import yaml

from tests.integration.audit import Audit
from tests.integration.conftest import CRD, establish
from tests.integration.kubelet import kubelet
from tests.integration.operator_process import DEPLOYMENTS, MODELS, PODS, model, settled, wait_for
from tests.integration.update import REPLICA_SETS

MODELS_LIVE = 50
RESYNCS = 3
NEXT_OPERATOR = """
import sys
from catfish_operator import __main__
from catfish_operator.resources import deployment

deployment.SCRATCH_SIZE, deployment.LONGEST_REQUEST_SECONDS = "1Gi", 99
sys.exit(__main__.main())
"""
"""The operator, rendering other pods from the same spec."""


@pytest.fixture
def crd_with_a_new_field(plane, kubectl):
    """Puts a CRD in that has a default more, in the spec and in a part of it; at the end the old one is back."""

    def put():
        crd = yaml.safe_load(CRD.read_text())
        (version,) = crd["spec"]["versions"]
        spec = version["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]
        for fields in (spec, spec["prediction"]["properties"]):
            fields["newField"] = {"type": "string", "default": "new", "description": "A field of the future."}
        kubectl("apply", "--server-side", "-f", "-", stdin=yaml.safe_dump(crd))

    yield put
    establish(plane)


class Fleet:
    """Many models of one pod each, and what of them may not change."""

    def __init__(self, api, namespace):
        self.api, self.namespace = api, namespace

    def create(self):
        for number in range(MODELS_LIVE):
            body = model(f"cat-{number}", replicas=1, prediction={"unknownThreshold": 0.5})
            self.api.create(MODELS.format(self.namespace), body)

    def models(self):
        return self.api.items(MODELS.format(self.namespace))

    def proven(self):
        """Whether all are up to date with a revision that could be gone back to."""
        found = self.models()
        return len(found) == MODELS_LIVE and all(
            settled(body) and body["status"]["stableRevision"] == body["status"]["targetRevision"]
            for body in found
        )

    def pods(self):
        """Each pod with what a restart of its container or a new pod would change."""
        return {
            pod["metadata"]["name"]: (
                pod["metadata"]["uid"],
                pod["metadata"]["labels"]["pod-template-hash"],
                pod["status"]["containerStatuses"][0]["restartCount"],
            )
            for pod in self.api.items(PODS.format(self.namespace))
        }

    def deployments(self):
        """Each Deployment with its generation, and the ReplicaSets, which are one for each template it ever had."""
        found = self.api.items(DEPLOYMENTS.format(self.namespace))
        sets = self.api.items(REPLICA_SETS.format(self.namespace))
        generations = {item["metadata"]["name"]: item["metadata"]["generation"] for item in found}
        return generations, sorted(item["metadata"]["name"] for item in sets)


def test_an_upgraded_operator_and_crd_restart_no_pod_and_new_revisions_get_the_new_form(
    start, plane, api, namespace, crd_with_a_new_field
):
    fleet = Fleet(api, namespace)
    before = start().wait_ready()
    with kubelet(api, namespace):
        fleet.create()
        wait_for(fleet.proven, seconds=120, what="all models are proven")
        pods, deployments = fleet.pods(), fleet.deployments()
        assert len(pods) == MODELS_LIVE
        assert before.terminate() == 0
        crd_with_a_new_field()
        wait_for(lambda: all(map(_has_new_field, fleet.models())), what="the new default in every model")
        audit = Audit(plane.audit_log)
        after = start(program=("-c", NEXT_OPERATOR), CATFISH_RESYNC_SECONDS="2").wait_ready()
        after.wait_resyncs(RESYNCS)
        assert audit.writes(namespace) == []
        assert (fleet.pods(), fleet.deployments()) == (pods, deployments)
        assert fleet.proven()
        _change_one(fleet, pods)


def _has_new_field(body):
    spec = body["spec"]
    return spec.get("newField") == spec["prediction"].get("newField") == "new"


def _change_one(fleet, pods):
    """The upgraded operator was awake: a change is rendered as it renders, and is the only one that has new pods."""
    name, old = "cat-7", _form(fleet, "cat-7")
    fleet.api.merge(f"{MODELS.format(fleet.namespace)}/{name}", {"spec": {"image": "catfish-server:v2"}})
    wait_for(
        lambda: _form(fleet, name)[0] == "catfish-server:v2" and fleet.proven(), seconds=40, what="v2 proven"
    )
    assert old[1:] == ("8Gi", _form(fleet, "cat-8")[2])
    assert _form(fleet, name)[1:] == ("1Gi", old[2] - 30 + 99)
    (its,) = (pod for pod in pods if pod.startswith(f"{name}-"))
    wait_for(lambda: its not in fleet.pods(), what="its old pod is gone")
    assert pods.keys() - fleet.pods().keys() == {its}


def _form(fleet, name):
    """What of a Deployment's pods tells by whom they were rendered: image, scratch room, seconds to end in."""
    deployment = fleet.api.get(f"{DEPLOYMENTS.format(fleet.namespace)}/{name}")
    pod = deployment["spec"]["template"]["spec"]
    (volume,) = pod["volumes"]
    seconds = pod["terminationGracePeriodSeconds"]
    return pod["containers"][0]["image"], volume["emptyDir"]["sizeLimit"], seconds
