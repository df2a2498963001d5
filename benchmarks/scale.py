"""How much one operator carries: models that converge, changes, a restart, a noisy namespace. Prints a table.

`make bench-scale`, or `python -m benchmarks.scale --models 200`. Runs on its own control plane without nodes: a script
makes the pods Ready, and the controller-manager has a rate limit that is not the one that is measured. What the
operator asked, and when, is read in the API server's audit log; a time ends with the operator's own last write. Writes
build/bench/scale.json and ends with 1 if a target is missed; the targets are those of 1,000 models on two cores.
"""

import argparse
import json
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.scale_cluster import CALM, NOISY, Busy, changes, delays, make, noisy, pods_ready
from benchmarks.settle import prepare
from localcluster.controlplane import ADMIN, ControlPlane
from tests.e2e.audit import AuditOfRun
from tests.integration.operator_process import OPERATOR, Api, OperatorProcess, wait_for

TARGET = Path("build/bench/scale.json")
MANAGER_FLAGS = ("--kube-api-qps=200", "--kube-api-burst=400", "--concurrent-deployment-syncs=20")
UP_TO_DATE = "catfish_model_up_to_date"
QUIET_SECONDS = 5.0  # without a write: the operator's last one was the last
MIB = 1024 * 1024


@dataclass(frozen=True, kw_only=True)
class Figure:
    """One row of the table.

    Attributes:
        target: the most that it may be; None: it is only told.
    """

    title: str
    value: float
    unit: str = ""
    target: float | None = None

    @property
    def met(self) -> bool:
        """Whether it is within its target."""
        return self.target is None or self.value <= self.target


class Bench:
    """One control plane with models on it, and the operator that is measured."""

    def __init__(self, plane: ControlPlane, directory: Path, *, models: int, seconds: float) -> None:
        self.plane, self.directory, self.models, self.seconds = plane, directory, models, seconds
        self.api = Api(plane.kubeconfig)
        self.operator = OperatorProcess(plane, directory)
        self.asked: Counter[str] = Counter()

    def audit(self, user: str = OPERATOR) -> AuditOfRun:
        """What is asked from now on."""
        return AuditOfRun(self.plane.audit_log, user=user, since=datetime.now(UTC))

    def converge(self) -> list[Figure]:
        """Models that are there when the operator starts, until its last write."""
        make(self.api, self.models)
        audit, begun = self.audit(), datetime.now(UTC)
        with Busy(self.operator.start()) as busy:
            self._until_up_to_date()
            self._until_quiet(audit)
        seconds = (_last_write(audit) - begun).total_seconds()
        looks = sum(value for name, value in self._metrics("catfish_reconciles_total").items())
        if not audit.covers_the_run():
            raise RuntimeError("the audit log was rotated away: measure fewer models")
        self.asked = audit.by_resource()
        events = self.asked["create events"] + self.asked["patch events"]
        requests = sum(self.asked.values()) - events
        return [
            Figure(title="converged, after the operator's start", value=seconds, unit="s", target=120),
            Figure(title="looks at a model, in a second of that", value=looks / seconds),
            Figure(title="API requests a model, without Events", value=requests / self.models, target=8),
            Figure(title="Events a model", value=events / self.models),
            Figure(title="resident memory, at its highest", value=busy.peak / MIB, unit="MiB", target=150),
            Figure(title="CPU time a model", value=1000 * busy.cpu / self.models, unit="ms"),
        ]

    def rest(self) -> list[Figure]:
        """Settled models while nothing happens."""
        audit = self.audit()
        with Busy(self.operator) as busy:
            time.sleep(self.seconds)
        requests = sum(audit.requests().values()) * 60 / self.seconds / self.models
        return [
            Figure(title=f"settled: writes in {self.seconds:.0f} s", value=len(audit.writes()), target=0),
            Figure(title="settled: requests a model and minute", value=requests, target=1),
            Figure(title="settled: CPU", value=100 * busy.cpu / self.seconds, unit="%"),
        ]

    def change(self, namespace: str = CALM, *, replicas: int = 2, alone: bool = True) -> float:
        """Ten changes a second; returns the 99th percentile of the seconds from each to the operator's write."""
        changed, written = self.audit(ADMIN), self.audit()
        number = changes(self.api, namespace, models=self.models, seconds=self.seconds, replicas=replicas)

        def followed() -> list[float] | None:
            time.sleep(1)
            found = sorted(delays(changed, written, namespace))
            return found if len(found) == number else None

        found = wait_for(followed, seconds=60, what=f"a write for each of {number} changes")
        if alone:
            self._until_quiet(written)
        return found[min(number - 1, int(0.99 * number))]

    def restart(self) -> list[Figure]:
        """A new process, with everything settled."""
        self.operator.stop()
        audit, begun = self.audit(), time.monotonic()
        self.operator = OperatorProcess(self.plane, self.directory).start()
        self.operator.wait_ready(seconds=120)
        ready = time.monotonic() - begun
        time.sleep(self.seconds)  # every model is looked at
        return [
            Figure(title="restart: ready after", value=ready, unit="s", target=30),
            Figure(title="restart: writes", value=len(audit.writes()), target=5),
        ]

    def noise(self, calm: float) -> list[Figure]:
        """As many bad models in another namespace, tried again and again."""
        noisy(self.api, self.models)
        wait_for(self._all_are_tried, seconds=300, what="every bad model is tried")
        p99 = self.change(replicas=1, alone=False)
        return [
            Figure(title=f"beside {self.models} bad models: p99", value=p99, unit="s"),
            Figure(title="that many times as long", value=p99 / calm, target=2),
        ]

    def _all_are_tried(self) -> bool:
        known = self._metrics("catfish_model_stalled")
        return sum(value for name, value in known.items() if f'"{NOISY}"' in name) == self.models

    def _until_up_to_date(self) -> None:
        wait_for(
            lambda: sum(self._metrics(UP_TO_DATE).values()) == self.models,
            seconds=900,
            what="all models are up to date",
        )

    def _until_quiet(self, audit: AuditOfRun) -> None:
        def quiet() -> bool:
            return (datetime.now(UTC) - _last_write(audit)).total_seconds() > QUIET_SECONDS

        wait_for(quiet, seconds=300, what="the operator writes no more")

    def _metrics(self, name: str) -> dict[str, float]:
        time.sleep(1)  # a thousand models are a long page, which the operator makes
        return {key: value for key, value in self.operator.metrics().items() if key.startswith(name)}


def _last_write(audit: AuditOfRun) -> datetime:
    verbs = ("create", "patch", "delete")
    times = [entry["stageTimestamp"] for entry in audit.entries() if entry["verb"] in verbs]
    return datetime.fromisoformat(max(times, default=datetime.now(UTC).isoformat()))


@contextmanager
def bench(models: int, seconds: float) -> Iterator[Bench]:
    """The control plane, its pods, and no operator yet."""
    with (
        tempfile.TemporaryDirectory(prefix="catfish-scale-") as directory,
        ControlPlane.start_in(Path(directory) / "plane", manager_flags=MANAGER_FLAGS) as plane,
    ):
        prepare(plane)
        found = Bench(plane, Path(directory), models=models, seconds=seconds)
        try:
            with pods_ready(found.api):
                yield found
        finally:
            found.operator.stop()


def table(figures: list[Figure], asked: Counter[str], models: int) -> str:
    """The figures, and what was asked of the API server until the models had converged."""
    rows = [
        f"{one.title:<42}{one.value:>10.2f} {one.unit:<4}"
        + (f"target {one.target:g}{'' if one.met else '  MISSED'}" if one.target is not None else "")
        for one in figures
    ]
    requests = [f"  {what:<40}{number / models:>10.2f}" for what, number in asked.most_common()]
    return "\n".join([*rows, "requests a model:", *requests])


def main() -> int:
    """Measures and prints; 1 if a target is missed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", type=int, default=1000)
    parser.add_argument("--seconds", type=float, default=30.0, help="of quiet, and of changes")
    options = parser.parse_args()
    with bench(options.models, options.seconds) as running:
        figures = running.converge() + running.rest()
        calm = running.change()
        figures += [Figure(title="10 changes a second: p99 to the write", value=calm, unit="s", target=1)]
        figures += running.restart() + running.noise(calm)
        print(table(figures, running.asked, options.models))
    told = {"models": options.models, "asked": running.asked, "figures": [asdict(one) for one in figures]}
    TARGET.parent.mkdir(parents=True, exist_ok=True)
    TARGET.write_text(json.dumps(told, indent=2) + "\n")
    return int(not all(one.met for one in figures))


if __name__ == "__main__":
    sys.exit(main())
