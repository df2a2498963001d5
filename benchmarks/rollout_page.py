"""The figures of benchmarks.rollout as the tables of docs/rollouts.md. Pure."""

from collections.abc import Iterable, Sequence
from typing import Any

Json = dict[str, Any]

HEADING = (
    "kind of bad v2", "reason shown", "noticed after", "v1 alone again after", "failed + wrong, of",
    "v1 pods ready, least", "plain Deployment: failed + wrong, of", "pods ready, least",
)  # fmt: skip


def page(rows: Sequence[Json]) -> str:
    """A row for each kind; the figures of different numbers of replicas are set apart by `/`."""
    kinds = list(dict.fromkeys(row["kind"] for row in rows))
    lines = [_line(HEADING), _line(["---"] * len(HEADING))]
    for kind in kinds:
        ours, plain = (
            [row for row in rows if (row["system"], row["kind"]) == (system, kind)]
            for system in ("catfish", "plain")
        )
        lines.append(_line([kind, *_of_catfish(ours), *_of_plain(plain)]))
    return "\n".join(lines) + "\n"


def _of_catfish(rows: Sequence[Json]) -> list[str]:
    return [
        ", ".join(f"`{reason}`" for reason in dict.fromkeys(row["reason shown"] for row in rows)),
        _each(_seconds(row["noticed"]) for row in rows),
        _each(_seconds(row["v1 back"]) for row in rows),
        _each(_requests(row) for row in rows),
        _each(f"{row['v1 least']} of {row['replicas']}" for row in rows),
    ]


def _of_plain(rows: Sequence[Json]) -> list[str]:
    return [
        _each(_requests(row) for row in rows),
        _each(f"{row['least']} of {row['replicas']}" for row in rows),
    ]


def _requests(row: Json) -> str:
    return f"{row['failed']} + {row['wrong']}, {row['of']}"


def _seconds(value: float | None) -> str:
    return "never" if value is None else f"{max(0.0, value):.1f} s"


def _each(values: Iterable[str]) -> str:
    return " / ".join(values)


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
