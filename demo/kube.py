"""The cluster as the demo and the e2e tests use it: through kubectl, as a user would."""

import json
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from demo.report import DemoFailure
from localcluster import direct

Json = dict[str, Any]
Found = TypeVar("Found")
ROOT = Path(__file__).resolve().parents[1]


class KubectlFailed(Exception):
    """kubectl ended with an error; the text is what it said."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Kube:
    """A cluster: the kubectl that talks to it, and the kubeconfig it uses."""

    kubectl: tuple[str, ...]
    kubeconfig: Path

    def run(self, *arguments: str, stdin: str | None = None, timeout: float = 120) -> str:
        """What `kubectl ARGUMENTS` writes.

        Raises:
            KubectlFailed: it ended with an error or hung.
        """
        command = [*self.kubectl, *arguments]
        environment = direct.environment() | {"KUBECONFIG": str(self.kubeconfig)}
        try:
            done = subprocess.run(
                command,
                input=stdin,
                env=environment,
                capture_output=True,
                text=True,
                timeout=timeout,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise KubectlFailed(f"kubectl {' '.join(arguments)}: no end within {timeout:.0f} s") from error
        if done.returncode != 0:
            raise KubectlFailed(done.stderr.strip() or f"kubectl ended with {done.returncode}")
        return done.stdout

    def apply(self, *objects: Mapping[str, Any], large: bool = False) -> None:
        """Apply the objects; `large` ones by the server, for kubectl would note all of them in an annotation."""
        items = json.dumps({"apiVersion": "v1", "kind": "List", "items": list(objects)})
        self.run("apply", *(("--server-side",) if large else ()), "-f", "-", stdin=items)

    def get(self, kind: str, name: str, namespace: str = "default") -> Json | None:
        """The object, or None where there is none."""
        found = self.run(
            "get", kind, name, "--namespace", namespace, "--ignore-not-found", "--output", "json"
        )
        return dict(json.loads(found)) if found.strip() else None

    def list(self, kinds: str, namespace: str = "default", selector: str = "") -> Sequence[Json]:
        """The objects of these kinds that carry the labels."""
        chosen = ("--selector", selector) if selector else ()
        return list(
            json.loads(self.run("get", kinds, "--namespace", namespace, "--output", "json", *chosen))["items"]
        )

    def patch(
        self,
        name: str,
        spec: Mapping[str, Any],
        namespace: str = "default",
        *,
        annotations: Mapping[str, str] | None = None,
    ) -> None:
        """Merge these fields into the spec of a model, and these annotations into its metadata."""
        change: Json = {"spec": spec} | ({"metadata": {"annotations": annotations}} if annotations else {})
        self.run(
            "patch",
            "cfm",
            name,
            "--namespace",
            namespace,
            "--type=merge",
            f"--patch={json.dumps(change)}",
        )


def wait_for(what: str, look: Callable[[], Found | None], *, seconds: float, every: float = 0.3) -> Found:
    """The first thing but None and False that `look` returns. An unreachable cluster counts as nothing yet.

    Raises:
        DemoFailure: nothing within this time.
    """
    deadline = time.monotonic() + seconds
    last = ""
    while True:
        try:
            found = look()
        except KubectlFailed as error:
            found, last = None, f" (kubectl: {error})"
        if found is not None and found is not False:
            return found
        if time.monotonic() > deadline:
            raise DemoFailure(f"Waited {seconds:.0f} s in vain for {what}{last}.")
        time.sleep(every)


def established(crd: Mapping[str, Any]) -> bool:
    """Whether the CRD is served. `kubectl wait` breaks off on one that is too new to have conditions."""
    conditions = crd.get("status", {}).get("conditions") or []
    return any(item["type"] == "Established" and item["status"] == "True" for item in conditions)


def find_kubectl() -> tuple[str, ...]:
    """The user's kubectl, else the local cluster's own command."""
    found = shutil.which("kubectl")
    return (found,) if found else (sys.executable, "-m", "localcluster", "kubectl", "--")


def typed(words: str) -> str:
    """What a person types to run `kubectl WORDS` on this cluster, whether or not a kubectl is installed."""
    return f"python3 -m localcluster kubectl -- {words}"
