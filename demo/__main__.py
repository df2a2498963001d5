"""`python3 -m demo`: from nothing to a prediction on a real cluster, and on to rollouts under load."""

import argparse
import os
import sys
import time

from demo import cluster, mishaps, steps, weights
from demo.kube import ROOT, KubectlFailed
from demo.report import DemoFailure, Report
from localcluster import build
from localcluster.errors import LocalClusterError


def main() -> int:
    """Run all steps; 1 when one of them failed."""
    parser = argparse.ArgumentParser(prog="python3 -m demo", description=__doc__)
    parser.add_argument("--provider", default="auto", choices=("auto", "local", "kind", "current"))
    provider = parser.parse_args().provider
    os.chdir(ROOT)
    report = Report()
    try:
        run(report, provider)
    except DemoFailure as error:
        report.failure(error)
    except KubectlFailed as error:
        report.failure(DemoFailure(f"kubectl said: {error}", look="python3 -m localcluster status"))
    except TimeoutError as error:
        report.failure(DemoFailure(f"A step took too long: {error}", look="python3 -m localcluster status"))
    except OSError as error:
        report.failure(DemoFailure(f"The machine said: {error}", look="python3 -m localcluster status"))
    except KeyboardInterrupt:
        report.failure(
            DemoFailure("Stopped. What runs stays; `make demo` goes on, `make cluster-down` removes it.")
        )
        return 130
    else:
        return 0
    return 1


def run(report: Report, provider: str) -> None:
    """The demo from the first step to the last."""
    started = time.monotonic()
    _refuse_what_cannot_work(provider)
    kube = cluster.up(report, "local")
    weights.provide(report, kube)
    cluster.install_operator(report, kube)
    mishaps.mend(kube)
    address = steps.apply(report, kube)
    steps.predict(report, address)
    steps.scale(report, kube)
    steps.replace_pod(report, kube, address)
    steps.roll_out(
        report, kube, address, "v1 -> v2: only `image` changes, under load", {"image": "catfish-server:v2"}
    )
    second = {"weights": {"url": f"{weights.CLUSTER_STORE}/models/catfish-v2.pt"}}
    steps.roll_out(report, kube, address, "v1 -> v2: only `weights.url` changes, under load", second)
    mishaps.break_and_undo(report, kube, address)
    steps.second_model(report, kube)
    steps.farewell(report, kube, address, started)


def _refuse_what_cannot_work(provider: str) -> None:
    """Says in the first second what would else come out after many minutes of compiling and building.

    `auto`, which takes kind where it finds it, is the local cluster here: no other has the store for the weights.
    """
    if provider in {"kind", "current"}:
        raise DemoFailure(
            f"The demo keeps its weights in the store of the local cluster, which `{provider}` does not have: "
            "run `make demo CLUSTER=local`, or follow README.md with weights of your own."
        )
    if sys.platform != "linux":
        raise DemoFailure("The demo starts a Kubernetes on this machine, and for that it needs Linux.")
    if os.geteuid() != 0:
        raise DemoFailure("The local cluster needs root: run `sudo make demo`.")
    try:
        build.require_compiler()
    except LocalClusterError as error:
        raise DemoFailure(str(error)) from error


if __name__ == "__main__":
    sys.exit(main())
