"""What twenty kinds of bad update cost, with Catfish and with a plain Deployment: `make bench-rollout`.

For each kind a model serves v1 while a client asks it all the time; then its spec changes to a v2 that is bad.
Measured is what the client saw, what the status said, and when v1 alone was there again. The demo's cluster must
run (`make demo`). Prints a table and writes build/bench/rollout.json and rollout.md.
"""

import argparse
import json
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from benchmarks import rollout_page
from benchmarks.rollout_disturbances import Disturbances
from demo import cluster
from demo.kube import ROOT, Json, Kube
from demo.report import Report
from tests.faults import kinds, world
from tests.faults.campaign import Campaign, Lane, lanes
from tests.faults.outcome import Outcome

TARGET = Path("build/bench/rollout.json")
COLUMNS = (
    "system", "kind", "replicas", "reason shown", "noticed", "v1 back", "failed", "wrong", "of",
    "v1 least", "least", "ok",
)  # fmt: skip
WIDTHS = (8, 21, 8, 26, 8, 8, 7, 6, 6, 9, 6, 3)


def main() -> int:
    """Runs the benchmark; 0 if Catfish did all that it promises."""
    options = _options()
    os.chdir(ROOT)
    kube = cluster.running()
    if kube is None:
        print("No cluster answers: run `make demo` first.")
        return 1
    report = Report()
    world.provide(kube, report)
    chosen = options.chosen()
    wanted = [
        replace(lane, defaults=options.defaults)
        for system in (["catfish", "plain"] if options.plain else ["catfish"])
        for replicas in options.replicas
        for lane in lanes(chosen, system=system, replicas=replicas, least=options.lanes(len(chosen)))
    ]
    print(_settings(options), flush=True)
    rows = measure(kube, wanted, options)
    print()
    for line in table(rows):
        print(line)
    _write(rows, options)
    complaints = [
        f"{row['kind']}, {row['replicas']} replicas: {sentence}"
        for row in rows
        if row["system"] == "catfish"
        for sentence in row["complaints"]
    ]
    print("\n" + ("\n".join(complaints) or "All as promised."))
    return int(bool(complaints))


def measure(kube: Kube, wanted: Sequence[Lane], options: "Options") -> list[Json]:
    """The rows, in the order of the kinds."""
    started = time.monotonic()
    disturbances = Disturbances(
        kube, kill_operator=options.kill_operator, apiserver_away=options.apiserver_away
    )

    def told(lane: Lane, outcome: Outcome, seconds: float) -> None:
        disturbances.over(outcome)
        row = row_of(lane, outcome, disturbances)
        print(f"{time.monotonic() - started:6.0f} s  {line_of(row)}  ({seconds:.0f} s)", flush=True)

    campaign = Campaign(
        kube=kube, rate=options.rate, parallel=options.parallel, told=told, together=disturbances.together
    )
    disturbances.disturb(campaign, lanes=len(wanted))
    try:
        found = campaign.run(wanted)
    finally:
        disturbances.close()
    order = [kind.name for kind in (*kinds.KINDS, *kinds.WITH_DEFAULTS)]
    found.sort(key=lambda each: (each[0].system, order.index(each[1].kind.name), each[0].replicas))
    if disturbances.told:
        print(f"\n{disturbances.told}")
    return [row_of(lane, outcome, disturbances) for lane, outcome in found]


def row_of(lane: Lane, outcome: Outcome, disturbances: Disturbances) -> Json:
    """The figures of one attempt, and what is to complain of."""
    seen = outcome.sight
    grace = disturbances.grace(outcome.kind)
    complaints = outcome.complaints(grace=grace) + disturbances.complaints(outcome)
    return {
        "system": lane.system,
        "kind": outcome.kind.name,
        "replicas": lane.replicas,
        "reason shown": seen.reason or f"({outcome.says})",
        "noticed": outcome.noticed_after,
        "v1 back": outcome.back_after,
        "failed": outcome.failed,
        "wrong": outcome.wrong,
        "of": outcome.load.total,
        "v1 least": seen.least_v1,
        "least": seen.least_ready,
        "ok": not complaints,
        "message": seen.message,
        "complaints": complaints,
        "failures": outcome.load.failures,
        "reported": seen.reported,
        "counted from": outcome.since,
    }


def table(rows: Sequence[Json]) -> list[str]:
    """The rows under a heading."""
    heading = "  ".join(f"{name:<{width}}" for name, width in zip(COLUMNS, WIDTHS, strict=True))
    return [heading.rstrip(), *map(line_of, rows)]


def line_of(row: Json) -> str:
    """One row."""
    return "  ".join(f"{_cell(row[name]):<{w}}" for name, w in zip(COLUMNS, WIDTHS, strict=True)).rstrip()


def _cell(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.1f} s"
    return "never" if value is None else str(value)


class Options(argparse.Namespace):
    """The command line."""

    kinds: list[str]
    defaults: bool
    replicas: list[int]
    plain: bool
    parallel: int
    rate: float
    kill_operator: bool
    apiserver_away: float

    def chosen(self) -> list[kinds.Kind]:
        """The kinds to try."""
        if self.kinds:
            return [kinds.BY_NAME[name] for name in self.kinds]
        return list(kinds.WITH_DEFAULTS if self.defaults else kinds.KINDS)

    def lanes(self, kinds: int) -> int:
        """The least number of lanes of one system and number of replicas."""
        return kinds if self.apiserver_away else 1


def _options() -> Options:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    names = lambda text: [name.strip() for name in text.split(",")]  # noqa: E731 - argparse calls it a type
    parser.add_argument(
        "--kinds", type=names, default=[], help=f"of: {', '.join(kinds.BY_NAME)}; default: all"
    )
    parser.add_argument(
        "--defaults", action="store_true", help="three kinds, with the default times of a rollout"
    )
    parser.add_argument("--replicas", type=lambda text: [int(one) for one in names(text)], default=[1, 3])
    parser.add_argument("--plain", action="store_true", help="the same on a plain Deployment too")
    parser.add_argument("--parallel", type=int, default=3, help="models at the same time")
    parser.add_argument("--rate", type=float, default=20, help="requests per second to each model")
    parser.add_argument(
        "--kill-operator", action="store_true", help="SIGKILL it while it decides; one model at a time"
    )
    parser.add_argument(
        "--apiserver-away", type=float, default=0, metavar="SECONDS", help="stop it after the change"
    )
    options = parser.parse_args(namespace=Options())
    unknown = [name for name in options.kinds if name not in kinds.BY_NAME]
    if unknown:
        parser.error(f"there is no kind {unknown[0]!r}")
    return options


def _settings(options: Options) -> str:
    short = (
        f"progressDeadlineSeconds {kinds.DEADLINE}, canary.seconds {kinds.CANARY}, bakeSeconds {kinds.BAKE}, "
        f"minReadySeconds {kinds.MIN_READY}"
    )
    times = "the default times of a rollout" if options.defaults else short
    return f"{times}; {options.rate:.0f} requests/s to each model, {options.parallel} models at the same time"


def _write(rows: Sequence[Json], options: Options) -> None:
    TARGET.parent.mkdir(parents=True, exist_ok=True)
    TARGET.with_suffix(".md").write_text(f"{_settings(options)}\n\n{rollout_page.page(rows)}")
    settings = {"settings": _settings(options), "options": vars(options), "rows": list(rows)}
    TARGET.write_text(json.dumps(settings, indent=2, default=str))
    print(f"\nwritten to {TARGET}, and as a table of Markdown beside it")


if __name__ == "__main__":
    sys.exit(main())
