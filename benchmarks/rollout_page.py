"""The figures of benchmarks.rollout as the table of docs/rollouts.md. Pure."""

from collections.abc import Sequence
from typing import Any

Json = dict[str, Any]

HEADING = (
    "kind of bad v2", "reason shown", "noticed after", "v1 alone again after", "failed, wrong", "of",
    "v1 ready, least", "plain: failed, wrong", "of", "ready, least",
)  # fmt: skip


def page(rows: Sequence[Json]) -> str:
    """A row for each kind and number of replicas; what a plain Deployment did stands beside it, if it was tried."""
    plain = {(row["kind"], row["replicas"]): row for row in rows if row["system"] == "plain"}
    lines = [_line(HEADING), _line(["---"] * len(HEADING))]
    for row in rows:
        if row["system"] == "catfish":
            beside = plain.get((row["kind"], row["replicas"]))
            lines.append(_line([*_of_catfish(row), *_of_plain(beside)]))
    return "\n".join(lines) + "\n"


def _of_catfish(row: Json) -> list[str]:
    replicas = f"{row['replicas']} replica{'' if row['replicas'] == 1 else 's'}"
    return [
        f"{row['kind']}, {replicas}",
        f"`{row['reason shown']}`",
        _seconds(row["noticed"]),
        _seconds(row["v1 back"]),
        f"{row['failed']}, {row['wrong']}",
        str(row["of"]),
        str(row["v1 least"]),
    ]


def _of_plain(row: Json | None) -> list[str]:
    if row is None:
        return ["", "", ""]
    return [f"{row['failed']}, {row['wrong']}", str(row["of"]), str(row["least"])]


def _seconds(value: float | None) -> str:
    return "never" if value is None else f"{max(0.0, value):.1f} s"


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
