"""`kubectl catfish` as a program on a real API server. The operator does not run: the tests write what it would."""

import json
import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

from catfish_operator.model import CatfishModel
from catfish_operator.resources import revision
from catfish_operator.resources.record import Record
from tests.integration.operator_process import MODELS, REVISIONS, ROOT, model

V1 = {"image": "catfish-server:v1", "prediction": {"unknownThreshold": 0.6}}
V2 = {"image": "catfish-server:v2", "drainSeconds": 9}
EVERYTHING = yaml.safe_load((ROOT / "tests" / "operator" / "golden" / "everything.model.yaml").read_text())


class Pets:
    """A namespace with the model `cat`, and the plugin asked about it."""

    def __init__(self, api, plane, namespace):
        self.api, self.namespace = api, namespace
        self._kube, self._kubeconfig = plane.kube, plane.kubeconfig

    def path(self, name="cat"):
        return f"{MODELS.format(self.namespace)}/{name}"

    def body(self):
        return self.api.get(self.path())

    def revision_of(self, body):
        return revision.name(CatfishModel.from_body(body))

    def keep(self, body, *, number, verdict=None, **annotations):
        """Stores the revision that the spec of a live model asks for, as the operator does."""
        parsed = CatfishModel.from_body(body)
        data = revision.data(parsed, {"metadata": {}, "spec": {}})
        name = revision.name(parsed)
        item = revision.revision(parsed, name=name, number=number, data=data, kept=Record())
        item["metadata"]["labels"] |= {"catfish.dev/verdict": verdict} if verdict else {}
        item["metadata"]["annotations"] = {
            f"catfish.dev/{key}": json.dumps(value) for key, value in annotations.items()
        }
        self.api.create(REVISIONS.format(self.namespace), item)
        return name

    def spec(self, spec):
        """Replaces the whole spec, as `kubectl replace` would."""
        body = self.body()
        return self.api.ok("PUT", self.path(), body | {"spec": model()["spec"] | spec})

    def say(self, status):
        return self.api.ok(
            "PATCH", self.path() + "/status", {"status": status}, content_type="application/merge-patch+json"
        )

    def ask(self, *argv, kubeconfig=None, code=0):
        """What the plugin prints; on stderr if it is to fail."""
        command = [sys.executable, "-m", "catfish_operator.plugin", *argv, "-n", self.namespace]
        environ = {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": os.pathsep.join(filter(None, [str(ROOT / "operator"), *sys.path])),
            "KUBECONFIG": str(kubeconfig or self._kubeconfig),
        }
        done = subprocess.run(command, env=environ, capture_output=True, text=True, check=False, timeout=60)
        assert done.returncode == code, done.stdout + done.stderr
        assert "Traceback" not in done.stderr
        if code:
            assert done.stdout == ""
            return done.stderr
        assert done.stderr == ""
        return done.stdout


@pytest.fixture
def pets(api, plane, namespace):
    """The model has gone from version 1, which is proven, to version 2, which has failed."""
    found = Pets(api, plane, namespace)
    first = api.create(MODELS.format(namespace), model(**V1))
    found.keep(first, number=1, verdict="proven", rollout={"result": "Completed"})
    second = found.spec(V2)
    found.keep(second, number=2, verdict="failed", failure={"reason": "OutOfMemory", "message": "."})
    found.first, found.second = found.revision_of(first), found.revision_of(second)
    return found


def test_undo_makes_the_spec_ask_for_the_proven_revision_again(pets):
    pets.api.merge(pets.path(), {"spec": {"replicas": 3, "service": {"port": 81}}})
    said = pets.ask("undo", "cat")
    assert said.startswith(f"cat: the spec asks for {pets.first} (image catfish-server:v1) again; changed: ")
    body = pets.body()
    assert pets.revision_of(body) == pets.first
    assert (body["spec"]["replicas"], body["spec"]["service"]["port"]) == (3, 81)
    managers = {entry["manager"] for entry in body["metadata"]["managedFields"]}
    assert "kubectl-catfish" in managers


def test_undo_goes_to_a_named_revision_and_back(pets):
    pets.ask("undo", "cat", "--to", pets.first)
    assert "has failed before" in pets.ask("undo", "cat", "--to", pets.second.removeprefix("cat-"))
    assert pets.revision_of(pets.body()) == pets.second


def test_undo_of_every_field_leads_to_the_same_revision(pets):
    spec = {**EVERYTHING["spec"]}
    del spec["service"]  # its load balancer class cannot be taken up afterwards
    everything = pets.spec(spec)
    name = pets.keep(everything, number=3, verdict="proven")
    pets.spec(V2)
    assert json.loads(pets.ask("undo", "cat", "-o", "json"))["revision"] == name
    assert pets.revision_of(pets.body()) == name
    pets.ask("undo", "cat", "--to", pets.first)
    assert pets.revision_of(pets.body()) == pets.first


def test_undo_without_anything_to_go_back_to_is_refused_in_one_line(pets):
    pets.ask("undo", "cat")
    before = pets.body()["metadata"]["resourceVersion"]
    said = pets.ask("undo", "cat", code=1)
    assert said.startswith("error: cat has no proven revision to go back to")
    assert said.count("\n") == 1
    assert pets.ask("undo", "cat", "--to", "cat-0", code=1).startswith(
        "error: cat has no revision cat-0; there are: "
    )
    assert pets.body()["metadata"]["resourceVersion"] == before


def test_an_older_spec_that_the_schema_refuses_now_is_told_in_its_words(pets):
    body = pets.body()
    raw = pets.api.get(f"{REVISIONS.format(pets.namespace)}/{pets.first}")
    raw["metadata"] = {key: raw["metadata"][key] for key in ("namespace", "labels", "ownerReferences")}
    raw["metadata"]["name"] = "cat-broken"
    raw["data"]["inputs"]["weights"] = {"url": "ftp://models.example.com/cat.pt"}
    pets.api.create(REVISIONS.format(pets.namespace), raw | {"revision": 9})
    said = pets.ask("undo", "cat", "--to", "cat-broken", code=1)
    assert said.startswith("error: the API server refuses it: ")
    assert "weights" in said
    assert pets.body()["spec"] == body["spec"]


def test_retry_and_restart_annotate_the_model_with_new_values(pets):
    values = set()
    for _ in range(2):
        pets.ask("retry", "cat")
        values.add(pets.body()["metadata"]["annotations"]["catfish.dev/retry"])
    assert len(values) == 2
    pets.ask("restart", "cat")
    annotations = pets.body()["metadata"]["annotations"]
    assert annotations.keys() == {"catfish.dev/retry", "catfish.dev/restartedAt"}
    assert pets.body()["metadata"]["generation"] == 2


def test_explain_tells_what_the_status_says(pets):
    assert "has not been seen by the operator yet" in pets.ask("explain", "cat")
    condition = {
        "observedGeneration": 2,
        "lastTransitionTime": "2026-01-02T03:04:05Z",
        "message": "No memory.",
    }
    conditions = [
        condition | {"type": "UpToDate", "status": "False", "reason": "OutOfMemory"},
        condition | {"type": "Stalled", "status": "True", "reason": "OutOfMemory"},
    ]
    pets.say({"observedGeneration": 2, "targetRevision": pets.second, "conditions": conditions})
    said = pets.ask("explain", "cat")
    assert "is stalled" in said
    assert "OutOfMemory: No memory." in said
    assert "Raise spec.resources.limits.memory" in said
    assert "\x1b" not in said
    found = json.loads(pets.ask("explain", "cat", "-o", "json"))
    assert (found["state"], found["wanted"]["revision"]) == ("Stalled", pets.second)


def test_history_lists_the_revisions_that_there_are(pets):
    rows = json.loads(pets.ask("history", "cat", "-o", "json"))
    assert [(row["revision"], row["verdict"], row["reason"], row["wanted"]) for row in rows] == [
        (pets.second, "failed", "OutOfMemory", True),
        (pets.first, "proven", None, False),
    ]


@pytest.mark.parametrize("verb", ["explain", "history", "undo", "retry", "restart"])
def test_a_model_that_is_not_there_is_one_line(pets, verb):
    said = pets.ask(verb, "dog", code=1)
    assert said == f"error: there is no CatfishModel dog in namespace {pets.namespace}\n"


def test_who_may_only_look_can_explain_and_is_told_what_is_forbidden(pets, plane):
    plane.kubectl("create", "rolebinding", "ann", "--clusterrole=view", "--user=ann", "-n", pets.namespace)
    ann = plane.kubeconfig_for("ann")
    for verb in ("explain", "history"):
        pets.ask(verb, "cat", kubeconfig=ann)
    said = pets.ask("undo", "cat", kubeconfig=ann, code=1)
    assert said.startswith("error: forbidden: ")
    assert '"ann" cannot patch resource "catfishmodels"' in said


def test_who_may_edit_can_undo(pets, plane):
    plane.kubectl("create", "rolebinding", "bob", "--clusterrole=edit", "--user=bob", "-n", pets.namespace)
    pets.ask("undo", "cat", kubeconfig=plane.kubeconfig_for("bob"))


def test_kubectl_finds_it_by_the_name_that_the_package_gives_it(pets, plane, tmp_path):
    script = tmp_path / "kubectl-catfish"
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    module, function = project["scripts"]["kubectl-catfish"].split(":")
    script.write_text(
        f"#!{sys.executable}\nimport sys\nfrom {module} import {function}\nsys.exit({function}())\n"
    )
    script.chmod(0o755)
    kubectl = tmp_path / "kubectl"
    kubectl.symlink_to(plane.kube)
    environ = {
        "PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": os.pathsep.join(filter(None, [str(ROOT / "operator"), *sys.path])),
    }
    command = [
        kubectl,
        "catfish",
        "explain",
        "cat",
        "-n",
        pets.namespace,
        "--kubeconfig",
        str(plane.kubeconfig),
    ]
    done = subprocess.run(command, env=environ, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"cat (namespace {pets.namespace}) ")


def test_argo_cds_configmap_takes_the_patch(plane, namespace):
    plane.kubectl(
        "create", "configmap", "argocd-cm", "-n", namespace, "--from-literal=url=https://argo.example.com"
    )
    patch = Path(ROOT / "manifests" / "argocd" / "argocd-cm.yaml")
    plane.kubectl("patch", "configmap", "argocd-cm", "-n", namespace, "--patch-file", str(patch))
    data = json.loads(plane.kubectl("get", "configmap", "argocd-cm", "-n", namespace, "-o", "json"))["data"]
    assert data.keys() == {"url", "resource.customizations.health.catfish.dev_CatfishModel"}
