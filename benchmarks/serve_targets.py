"""What `benchmarks.serve` is held to, and whether a run has measured it and met it.

Overload is held to all of its targets with the ResNet-50. Four times what a tiny model answers is a thousand arrivals a
second, made on the cores that the server has too. How many it answers then, and how soon a probe is asked, says more of
who makes them than of the server. What it owes whom it answers or refuses holds however fast they come.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from benchmarks import serve_overload

MEGABYTES_A_MEBIBYTE = 1.048576
LEAST_OFFERED = 0.9
"""Of the arrivals that an overload is made of: where the load could not be made, nothing was measured."""

LEAST_TIMES_RATED = 1.5
"""Arrivals for each answer of the rate without them, where they are made on the server's cores: on two, 2.7 to 3.9 of
the four that are wanted could be made. What they take of the processor makes the overload larger than it says."""

LEAST_IN_TIME = 0.99
"""Of the answers, counted by the server from the last byte of each request. Clients wait for longer, as most of what
they wait for on shared cores comes before that: to be scheduled themselves, and to be read."""

Result = Mapping[str, Any]  # of `serve.measure`


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """One target.

    Attributes:
        name: what was measured.
        value: None where it was not.
        least: that the value must have; None: there is none.
        most: that it may have; None: there is none.
    """

    name: str
    value: float | None
    least: float | None = None
    most: float | None = None

    @property
    def met(self) -> bool:
        """Whether it was measured, and is within its bounds."""
        if self.value is None:
            return False
        return (self.least is None or self.value >= self.least) and (
            self.most is None or self.value <= self.most
        )

    def __str__(self) -> str:
        """A line for people."""
        bound = f">= {self.least:g}" if self.least is not None else f"<= {self.most:g}"
        value = "not measured" if self.value is None else f"{self.value:.3g}"
        return f"{'met   ' if self.met else 'MISSED'} {self.name}: {value} ({bound})"


def verdicts(result: Result) -> list[Verdict]:
    """The targets of one workload, in the order in which they are told."""
    failed = sum(row["failed"] for row in result["rows"] if row["server"] == "catfish")
    answers = Verdict(name="answers that failed", value=failed, most=0)
    if result["workload"] == "resnet50":
        return [*_resnet50(result), answers, *_overload(result["overload"])]
    return [*_tiny(result), answers, *_shared_overload(result["overload"])]


def _resnet50(result: Result) -> list[Verdict]:
    # Where no other engine was chosen, mosec's own row is the one with the same engine.
    same = "mosec+engine" if any(row["server"] == "mosec+engine" for row in result["rows"]) else "mosec"
    memory = MEGABYTES_A_MEBIBYTE * (result["pss_mib"] - result["bare_pss_mib"])
    return [
        Verdict(
            name="rate of 32 clients, times mosec's", value=_of(result, "mosec", 32, "rate_ratio"), least=1.5
        ),
        Verdict(
            name="rate of 32 clients, times mosec's with the same engine",
            value=_of(result, same, 32, "rate_ratio"),
            least=1.0,
        ),
        Verdict(name="p50 of 1 client, times mosec's", value=_of(result, "mosec", 1, "p50_ratio"), most=0.7),
        Verdict(
            name="p50 of 1 client beside a busy neighbour, times that in quiet",
            value=result["neighbour"]["p50_ratio"],
            most=1.3,
        ),
        Verdict(name="memory beyond the bare import, MB", value=memory, most=250),
        Verdict(
            name="start to ready beyond the bare import, s",
            value=result["ready_seconds"] - result["bare_seconds"],
            most=3,
        ),
    ]


def _tiny(result: Result) -> list[Verdict]:
    return [
        Verdict(
            name="rate of 32 clients, times mosec's", value=_of(result, "mosec", 32, "rate_ratio"), least=0.95
        ),
        Verdict(
            name="rate of 32 clients, times Flask's", value=_of(result, "flask", 32, "rate_ratio"), least=3
        ),
    ]


def _overload(found: Result) -> list[Verdict]:
    """Of overload; none of it was measured where too few requests arrived for one."""
    offered = _offered(found)
    share = offered / serve_overload.FACTOR if offered is not None else None
    made = share is not None and share >= LEAST_OFFERED
    return [
        Verdict(name="overload: arrivals, of those wanted", value=share, least=LEAST_OFFERED),
        Verdict(
            name="overload: good answers, of the rate without it",
            value=found["goodput_share"] if made else None,
            least=0.9,
        ),
        *_kept(found, made=made),
        Verdict(
            name="overload: p99 of the probes, ms", value=found["probe_p99_ms"] if made else None, most=50
        ),
    ]


def _shared_overload(found: Result) -> list[Verdict]:
    """Of an overload that is made on the server's cores: what does not depend on how much they leave it."""
    offered = _offered(found)
    made = offered is not None and offered >= LEAST_TIMES_RATED
    return [
        Verdict(
            name="overload: arrivals, times the rate without them", value=offered, least=LEAST_TIMES_RATED
        ),
        Verdict(
            name=f"overload: answers within {serve_overload.IN_TIME_SECONDS:g} s, of all",
            value=found["in_time_share"] if made else None,
            least=LEAST_IN_TIME,
        ),
        *_kept(found, made=made),
    ]


def _kept(found: Result, *, made: bool) -> list[Verdict]:
    """What is owed to each request of an overload: its answer, or a refusal that says when to come back."""
    return [
        Verdict(name="overload: answers that failed", value=found["failed"] if made else None, most=0),
        Verdict(
            name="overload: refusals without Retry-After",
            value=found["refused_without_retry_after"] if made else None,
            most=0,
        ),
    ]


def _offered(found: Result) -> float | None:
    """Arrivals for each answer of the rate without them; None where there was no rate."""
    return found["offered"] / found["rated"] if found["rated"] else None


def _of(result: Result, server: str, clients: int, what: str) -> float | None:
    """A value of one row; None where there is no such row, or no such value in it."""
    for row in result["rows"]:
        if (row["server"], row["clients"]) == (server, clients):
            value: float | None = row[what]
            return value
    return None
