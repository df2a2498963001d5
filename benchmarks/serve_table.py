"""The rows of `benchmarks.serve`: what all servers came to over all rounds, and what is printed of them."""

import json
import statistics
from collections.abc import Callable

from benchmarks import serve_load, serve_overload

WARM_UP_SECONDS = 5.0


def rounds(
    targets: dict[str, serve_load.Target], *, clients: int, seconds: float, count: int
) -> list[dict[str, object]]:
    """Rows of all servers over all rounds: rate, latency and processor time, and the median ratios to Catfish."""
    measured: dict[str, list[serve_load.Measured]] = {name: [] for name in targets}
    for target in targets.values():
        serve_load.closed(target, clients=clients, seconds=min(WARM_UP_SECONDS, seconds))
    for number in range(count):
        for name in list(targets)[:: -1 if number % 2 else 1]:
            measured[name].append(serve_load.closed(targets[name], clients=clients, seconds=seconds))
    return [_row(name, clients, measured["catfish"], all_of_it) for name, all_of_it in measured.items()]


def _row(
    name: str, clients: int, own: list[serve_load.Measured], all_of_it: list[serve_load.Measured]
) -> dict[str, object]:
    latencies = [took for each in all_of_it for took in each.latencies]
    return {
        "server": name,
        "clients": clients,
        "answers": len(latencies),
        "rate": statistics.median(each.rate for each in all_of_it),
        "p50_ms": serve_overload.told(1000 * serve_load.nearest_rank(latencies, 0.5)),
        "p99_ms": serve_overload.told(1000 * serve_load.nearest_rank(latencies, 0.99)),
        "cpu_ms": statistics.median(each.cpu_milliseconds for each in all_of_it),
        "refused": sum(sum(each.refused.values()) - each.failed for each in all_of_it),
        "failed": sum(each.failed for each in all_of_it),
        "rate_ratio": _ratio(own, all_of_it, lambda each: each.rate),
        "p50_ratio": _ratio(own, all_of_it, lambda each: each.percentile(0.5)),
        "cpu_ratio": _ratio(own, all_of_it, lambda each: each.cpu_milliseconds),
    }


def _ratio(
    own: list[serve_load.Measured],
    others: list[serve_load.Measured],
    value: Callable[[serve_load.Measured], float],
) -> float | None:
    """Catfish's value over the other's, the median of the rounds; None where there is none."""
    pairs = zip(own, others, strict=True)
    return serve_overload.told(
        statistics.median(value(one) / (value(other) or float("nan")) for one, other in pairs)
    )


def show(result: dict[str, object]) -> None:
    """Prints one workload."""
    number = {key: float(str(value)) for key, value in result.items() if isinstance(value, int | float)}
    print(f"\n{result['architecture']}, engine {result['engine']}, {result['instruction_set']}")
    print(
        f"start to ready {number['ready_seconds']:.1f} s (bare import {number['bare_seconds']:.1f} s); "
        f"memory {number['pss_mib']:.0f} MiB, with eager {number['pss_eager_mib']:.0f} MiB "
        f"(bare import {number['bare_pss_mib']:.0f} MiB)"
    )
    print(
        "server       clients answers   req/s  p50 ms  p99 ms  CPU ms/req refused failed  Catfish: rate   p50   CPU"
    )
    for told in result["rows"]:
        row = {name: float("nan") if value is None else value for name, value in told.items()}
        print(
            f"{row['server']:12} {row['clients']:7d} {row['answers']:7d} {row['rate']:7.1f} {row['p50_ms']:7.0f} "
            f"{row['p99_ms']:7.0f} {row['cpu_ms']:11.1f} {row['refused']:7d} {row['failed']:6d}  "
            f"{row['rate_ratio']:12.2f}x {row['p50_ratio']:4.2f}x {row['cpu_ratio']:4.2f}x"
        )
    print("1 client beside a busy neighbour:", json.dumps(result["neighbour"]))
    print("overload, 4 times that:", json.dumps(result["overload"]))
