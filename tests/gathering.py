"""What a test that failed on the cluster leaves: all that the cluster can tell."""

import threading
from pathlib import Path

from demo import cluster
from demo.kube import Kube, KubectlFailed


def gather(kube: Kube, folder: Path, namespaces: list[str]) -> None:
    """Write events, objects and logs of the namespaces and of the operator to the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    operator = ("logs", "deployment/catfish-operator", "--tail=500", "--namespace")
    wanted = {
        "operator.log": (*operator, cluster.OPERATOR_NAMESPACE),
        "operator-namespaced.log": (*operator, cluster.NAMESPACED.namespace),
        "nodes.txt": ("describe", "nodes"),
    }
    kinds = (
        "cfm,deployments,replicasets,pods,services,poddisruptionbudgets,controllerrevisions,endpointslices"
    )
    for name in namespaces:
        inside = ("--namespace", name)
        wanted |= {
            f"{name}.events.txt": ("get", "events", "--sort-by=.lastTimestamp", *inside),
            f"{name}.operator.log": (*operator, name),
            f"{name}.yaml": ("get", kinds, "--output=yaml", *inside),
            f"{name}.log": (
                *(
                    "logs",
                    "--selector=app.kubernetes.io/name=catfish-model",
                    "--prefix",
                    "--tail=300",
                    *inside,
                ),
                "--max-log-requests=30",
            ),
        }
    for file, arguments in wanted.items():
        try:
            text = kube.run(*arguments, timeout=20)
        except KubectlFailed as error:
            text = str(error)
        (folder / file).write_text(text)
    (folder / "threads.txt").write_text("\n".join(thread.name for thread in threading.enumerate()))
