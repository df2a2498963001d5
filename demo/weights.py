"""Puts pictures and weights into the store; trains the weights in the cluster where the host has none yet."""

import hashlib
import json
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

from demo import pictures, tools
from demo.kube import ROOT, Json, Kube, KubectlFailed, typed, wait_for
from demo.report import DemoFailure, Report
from localcluster import addresses, direct

HOST_STORE = f"http://{addresses.HOST}:{addresses.STORE_HTTP_PORT}"  # as this machine reaches it
CLUSTER_STORE = "http://store.catfish-store"  # as pods reach it
FILES = ("catfish-v1.pt", "catfish-v2.pt", "catfish-v1.pt.sha256", "catfish-v2.pt.sha256", "training.json")
NAMESPACE = "catfish-training"
SCRIPTS = ("train.py", "augment.py")
PYTHON = "/opt/catfish/bin/python"
MINUTES = 12


def provide(report: Report, kube: Kube) -> Json:
    """Pictures and both sets of weights in the store; returns the report of the training."""
    with report.step("pictures") as step:
        try:
            folder = pictures.collect(tools.cache())
        except pictures.PicturesUnavailable as error:
            raise DemoFailure(f"The pictures to train on could not be fetched. {error}") from error
        for entry in [*pictures.PICTURES]:
            _put(f"{HOST_STORE}/pictures/{entry.file}", (folder / entry.file).read_bytes())
        _put(f"{HOST_STORE}/pictures/index.json", json.dumps(pictures.index()).encode())
        step.outcome = f"{len(pictures.PICTURES)} of cats and fish"
    for licence in pictures.LICENCES:
        report.detail(licence)
    kept = tools.cache() / "demo" / f"weights-{_recipe()}"
    trained = not (kept / "training.json").exists()
    with report.step("weights") as step:
        if trained:
            _train(report, kube)
            _refuse_mistaken(json.loads(_get(f"{HOST_STORE}/models/training.json")))
            _keep(kept)
        for name in FILES:
            _put(f"{HOST_STORE}/models/{name}", (kept / name).read_bytes())
        judged = dict(json.loads((kept / "training.json").read_text()))
        step.outcome = "trained just now from random values" if trained else "trained before, from the cache"
    for version in ("v1", "v2"):
        report.detail(f"{version}: {_in_words(judged[version])}")
    return judged


def sha256(version: str) -> str:
    """The digest of a version's weights in the store."""
    return _get(f"{HOST_STORE}/models/catfish-{version}.pt.sha256").decode().split()[0]


def put(path: str, body: bytes) -> str:
    """Store something; returns its address as pods reach it."""
    _put(f"{HOST_STORE}/{path}", body)
    return f"{CLUSTER_STORE}/{path}"


def get(path: str) -> bytes:
    """Something that is stored."""
    return _get(f"{HOST_STORE}/{path}")


def _recipe() -> str:
    """Names everything that the weights depend on."""
    digest = hashlib.sha256(json.dumps(pictures.index()).encode())
    for name in SCRIPTS:
        digest.update((ROOT / "demo" / name).read_bytes())
    return digest.hexdigest()[:12]


def _train(report: Report, kube: Kube) -> None:
    kube.run("delete", "namespace", NAMESPACE, "--ignore-not-found", "--wait=true")
    kube.apply(_namespace(), _scripts(), _job())
    shown = 0
    deadline = time.monotonic() + MINUTES * 60
    try:
        while True:
            lines = _log(kube).splitlines()
            if lines[shown:]:
                report.detail("\n".join(lines[shown:]))
            shown = len(lines)
            status = (kube.get("job", "train", NAMESPACE) or {}).get("status", {})
            if status.get("succeeded"):
                return
            if status.get("failed") or time.monotonic() > deadline:
                why = lines[-1] if lines else "its pod wrote nothing"
                look = typed(f"--namespace {NAMESPACE} describe pods")
                raise DemoFailure(f"The training in the cluster did not succeed: {why}.", look=look)
            time.sleep(1)
    finally:
        succeeded = (kube.get("job", "train", NAMESPACE) or {}).get("status", {}).get("succeeded")
        if succeeded:  # else it stays, to be looked at
            kube.run("delete", "namespace", NAMESPACE, "--wait=false")


def _log(kube: Kube) -> str:
    try:
        return kube.run("logs", "job/train", "--namespace", NAMESPACE)
    except KubectlFailed:  # the container has not started yet
        return ""


def _refuse_mistaken(judged: Json) -> None:
    """Weights that do not know the photograph are not kept: it is what clients ask for all the time.

    Raises:
        DemoFailure: a version does not; the machine had too little time for it.
    """
    for version, found in judged.items():
        for name, share in found["photographs"].items():
            if share <= 0.5:
                raise DemoFailure(
                    f"After {found['steps']} steps {version} gives {name} {share:.0%} for its class: the training had "
                    "too little of the machine. Run it again when that has less to do."
                )


def _keep(folder: Path) -> None:
    """Copy what was trained to the host; the report comes last, for it is what makes the folder count."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in FILES:
        (folder / name).write_bytes(_get(f"{HOST_STORE}/models/{name}"))


def _namespace() -> Json:
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE, "labels": labels}}


def _scripts() -> Json:
    data = {name: (ROOT / "demo" / name).read_text() for name in SCRIPTS}
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "train", "namespace": NAMESPACE},
        "data": data,
    }


def _job() -> Json:
    command = [
        "/demo/train.py",
        "--pictures",
        f"{CLUSTER_STORE}/pictures",
        "--store",
        f"{CLUSTER_STORE}/models",
    ]
    container = {
        "name": "train",
        "image": "catfish-server:v1",
        "imagePullPolicy": "IfNotPresent",
        "command": [PYTHON, *command],
        # The image's Python does not look for modules beside a script (PYTHONSAFEPATH).
        "env": [{"name": "PYTHONPATH", "value": "/demo"}],
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "readOnlyRootFilesystem": True,
        },
        "volumeMounts": [{"name": "scripts", "mountPath": "/demo"}, {"name": "tmp", "mountPath": "/tmp"}],  # noqa: S108 - in the container
    }
    pod: dict[str, Any] = {
        "restartPolicy": "Never",
        "automountServiceAccountToken": False,
        "securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
        "containers": [container],
        "volumes": [{"name": "scripts", "configMap": {"name": "train"}}, {"name": "tmp", "emptyDir": {}}],
    }
    metadata = {"name": "train", "namespace": NAMESPACE}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": metadata,
        "spec": {"backoffLimit": 0, "template": {"spec": pod}},
    }


def _in_words(judged: Json) -> str:
    each = ", ".join(f"{Path(name).stem} {count}/{judged['of']}" for name, count in judged["right"].items())
    photographs = ", ".join(
        f"{Path(name).stem} {value:.0%} cat" for name, value in judged["photographs"].items()
    )
    return f"photograph {photographs}; held-out cut-outs on made-up backgrounds: {each}"


def _get(address: str) -> bytes:
    with direct.opener().open(address, timeout=30) as reply:
        return bytes(reply.read())


def _put(address: str, body: bytes) -> None:
    request = urllib.request.Request(address, data=body, method="PUT")  # noqa: S310 - the store's own address

    def once() -> bool:
        try:
            with direct.opener().open(request, timeout=60):
                return True
        except urllib.error.HTTPError as error:
            raise DemoFailure(
                f"The store refused {address}: {error}.", look="python3 -m localcluster status"
            ) from error
        except OSError:
            return False

    wait_for(f"the store at {address}", once, seconds=20)
