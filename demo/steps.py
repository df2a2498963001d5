"""What the demo shows once cluster, images, weights and operator stand: the life of a model, step by step."""

import time
from collections.abc import Callable

from demo import model, pictures, tools, weights
from demo.kube import Json, Kube, typed, wait_for
from demo.load import Load, Result
from demo.report import DemoFailure, Report

EXAMPLE = "manifests/examples/catfish.yaml"
RATE = 60.0
LEAST_BEFORE, LEAST_AFTER = (
    100,
    200,
)  # requests that the client sends before a rollout begins and after its end


def apply(report: Report, kube: Kube) -> str:
    """The example manifest; on a second run this brings the model back to v1. Returns its address."""
    with report.step(f"kubectl apply -f {EXAMPLE}") as step:
        kube.run("apply", "-f", EXAMPLE)
        found = model.settled(kube, model.NAME)
        address = model.url(kube, model.NAME)
        step.outcome = found["status"]["message"]
    with report.step("kubectl get cfm"):
        table = kube.run("get", "cfm")
    report.detail(table)
    return address


def predict(report: Report, address: str) -> None:
    """The photograph through the LoadBalancer, as bytes and as an address that the server fetches."""
    photograph = (pictures.collect(tools.cache()) / pictures.PHOTOGRAPH).read_bytes()
    asked = {
        f"POST {address}/predict  <- {pictures.PHOTOGRAPH}": lambda: model.ask(address, photograph),
        "GET /predict?image_url=…": lambda: model.ask(
            address, image_url=f"{weights.CLUSTER_STORE}/pictures/{pictures.PHOTOGRAPH}"
        ),
    }
    for title, ask in asked.items():
        with report.step(title) as step:
            answer = _answered(ask)
            if answer.status != 200 or answer.body.get("prediction") != "cat":
                raise DemoFailure(
                    f"The photograph of a cat was answered with status {answer.status} and {answer.body}.",
                    look=typed("logs deployment/catfish"),
                )
            step.outcome = (
                f"{answer.body['prediction']}, said {answer.headers.get('X-Catfish-Revision', 'nobody')}"
            )


def scale(report: Report, kube: Kube) -> None:
    """`kubectl scale` on the model itself."""
    with report.step("kubectl scale cfm/catfish --replicas=3") as step:
        kube.run("scale", "cfm/catfish", "--replicas=3")
        found = model.settled(kube, model.NAME)
        step.outcome = f"{found['status']['readyReplicas']} pods ready"


def replace_pod(report: Report, kube: Kube, address: str) -> None:
    """A pod is killed without warning; another takes its place, and the model answers all the same."""
    with report.step("a pod is killed and replaced") as step:
        pod = str(model.pods(kube)[0]["metadata"]["name"])
        kube.run("delete", "pod", pod, "--grace-period=0", "--force", "--wait=false")
        wait_for(
            "three ready pods without the killed one",
            lambda: len(ready := _ready_pods(kube)) == 3 and pod not in ready,
            seconds=120,
        )
        model.settled(kube, model.NAME)
        if model.ask(address, path="/").status != 200:
            raise DemoFailure(
                "The model does not answer after one of its pods was killed.",
                look=typed("describe cfm/catfish"),
            )
        step.outcome = f"{pod} is gone, 3 pods ready"


def roll_out(report: Report, kube: Kube, address: str, title: str, spec: Json) -> Result:
    """A change of the spec while a client asks all the time: not one request may fail."""
    with report.step(title) as step:
        before = _target(kube)
        with Load(address, model.samples(), rate=RATE) as load:
            load.wait_until(lambda seen: seen.total >= LEAST_BEFORE, seconds=60)
            kube.patch(model.NAME, spec)
            found = model.settled(kube, model.NAME)
            so_far = load.result().total
            load.wait_until(lambda seen: seen.total >= so_far + LEAST_AFTER, seconds=60)
        result = load.result()
        after = str(found["status"].get("targetRevision"))
        step.outcome = result.sentence()
        if result.failed or after == before or not result.revisions.get(after):
            raise DemoFailure(
                f"The rollout was not seamless: {result.sentence()}. Before it: {before}, after: {after}.",
                look=typed("describe cfm/catfish"),
            )
    return result


def second_model(report: Report, kube: Kube) -> None:
    """Another model is made, serves, is deleted, and leaves nothing."""
    name = "short-lived"
    with report.step("a second model is applied") as step:
        kube.apply(model.manifest(name))
        step.outcome = f"{model.settled(kube, name)['status']['message']}"
        children = model.leftovers(kube, name)
    with report.step("…and deleted: nothing is left of it") as step:
        kube.run("delete", "cfm", name, "--wait=true")
        try:
            wait_for("nothing to be left", lambda: not model.leftovers(kube, name), seconds=90)
        except DemoFailure as error:
            raise DemoFailure(
                f"Something is left of the deleted model: {', '.join(model.leftovers(kube, name))}."
            ) from error
        step.outcome = f"{len(children)} objects are gone"


def _ready_pods(kube: Kube) -> list[str]:
    """The names of the pods that are Ready and not on their way out."""
    return [
        str(pod["metadata"]["name"])
        for pod in model.pods(kube)
        if "deletionTimestamp" not in pod["metadata"]
        and {"type": "Ready", "status": "True"}.items()
        <= next((c for c in pod["status"].get("conditions", []) if c["type"] == "Ready"), {}).items()
    ]


def farewell(report: Report, kube: Kube, address: str, started: float) -> None:
    """What runs now, how to ask it, and how to remove it."""
    photograph = pictures.collect(tools.cache()) / pictures.PHOTOGRAPH
    report.heading(f"Done in {time.monotonic() - started:.0f} s. What is running:")
    report.detail(kube.run("get", "cfm,pods,services", "--selector", "app.kubernetes.io/instance=catfish"))
    report.detail(kube.run("get", "cfm"))
    report.heading("Ask it:")
    report.detail(f"curl --data-binary @{photograph} -H 'Content-Type: image/png' {address}/predict")
    report.heading("Look at it:")
    report.detail(typed("describe cfm/catfish"))
    report.heading("Remove everything:")
    report.detail("make cluster-down")


def _answered(ask: Callable[[], model.Answer]) -> model.Answer:
    """The first answer over a connection at all: kube-proxy takes a moment to learn a new address."""

    def once() -> model.Answer | None:
        try:
            return ask()
        except OSError:
            return None

    return wait_for("an answer from the LoadBalancer's address", once, seconds=30)


def _target(kube: Kube) -> str:
    return str((kube.get("cfm", model.NAME) or {}).get("status", {}).get("targetRevision"))
