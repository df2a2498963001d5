"""How calm the operator is: many models at once, then a quiet minute, then a restart. Prints a table.

`make bench-settle`, or `python -m benchmarks.settle --models 50 --quiet 60`. Runs on its own control plane
without nodes: a scripted kubelet makes the pods Ready. The figures are counted in the API server's audit log.
"""

import argparse
import sys
import tempfile
import time
from pathlib import Path

from localcluster.controlplane import ControlPlane
from tests.integration.audit import Audit
from tests.integration.conftest import establish
from tests.integration.kubelet import kubelet
from tests.integration.operator_process import (
    MANIFESTS,
    MODELS,
    ROOT,
    Api,
    OperatorProcess,
    model,
    settled,
    wait_for,
)

NAMESPACE = "default"
RESTART_QUIET_SECONDS = 20.0


def main() -> int:
    """Runs the benchmark; returns 0 if the targets are met."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", type=int, default=50)
    parser.add_argument("--quiet", type=float, default=60.0, help="seconds to count writes in, once settled")
    arguments = parser.parse_args()
    with (
        tempfile.TemporaryDirectory(prefix="catfish-settle-") as directory,
        ControlPlane.start_in(Path(directory) / "plane") as plane,
    ):
        return measure(plane, Path(directory), models=arguments.models, quiet=arguments.quiet)


def measure(plane: ControlPlane, directory: Path, *, models: int, quiet: float) -> int:
    """Measures on a running control plane and prints what it found."""
    prepare(plane)
    api = Api(plane.kubeconfig)
    operator = OperatorProcess(plane, directory, CATFISH_RESYNC_SECONDS="20").start().wait_ready()
    try:
        with kubelet(api):
            converging = Audit(plane.audit_log)
            begun = time.monotonic()
            for number in range(models):
                api.create(MODELS.format(NAMESPACE), model(f"cat-{number}", replicas=2))
            wait_for(lambda: all_settled(api, models), seconds=600, what="all models are up to date")
            seconds = time.monotonic() - begun
            asked, writes = converging.by_resource(), len(converging.writes())
            settling = Audit(plane.audit_log)
            time.sleep(quiet)
            after = settling.writes()
            operator.stop()
            restarting = Audit(plane.audit_log)
            operator = OperatorProcess(plane, directory, CATFISH_RESYNC_SECONDS="5").start()
            begun = time.monotonic()
            operator.wait_ready(seconds=60)
            ready = time.monotonic() - begun
            time.sleep(RESTART_QUIET_SECONDS)
            restart = restarting.writes()
    finally:
        operator.stop()
    rows = [
        (f"{models} models of 2 pods, applied until up to date", f"{seconds:.1f} s", ""),
        ("API requests a model until then", f"{sum(asked.values()) / models:.1f}", ""),
        ("of them writes a model, without Events", f"{writes / models:.1f}", ""),
        *((f"  {what}", f"{number / models:.2f}", "") for what, number in asked.most_common()),
        (f"writes in {quiet:.0f} s once settled", str(len(after)), "0"),
        ("restart: seconds until ready", f"{ready:.1f} s", ""),
        ("restart: writes", str(len(restart)), "<= 5"),
    ]
    for title, value, target in rows:
        print(f"{title:<52}{value:>10}   {'target ' + target if target else ''}".rstrip())
    for what in [*after, *restart]:
        print("  ", what)
    return 0 if not after and len(restart) <= 5 else 1


def prepare(plane: ControlPlane) -> None:
    """Puts the CRD and the operator's rights in place."""
    establish(plane)
    for manifest in MANIFESTS:
        plane.kubectl("apply", "-f", str(ROOT / "manifests" / "base" / manifest))
    wait_for(
        lambda: plane.kubectl("get", "serviceaccount", "default", "-n", NAMESPACE, "--ignore-not-found"),
        what="the namespace's account",
    )


def all_settled(api: Api, models: int) -> bool:
    """Whether every model says so."""
    found = api.items(MODELS.format(NAMESPACE))
    return len(found) == models and all(settled(body) for body in found)


if __name__ == "__main__":
    sys.exit(main())
