"""Scale 1 -> 3 -> 1 and v1 -> v2 -> v1 again and again while a client asks: `make bench-rollout-load`.

The demo's cluster must run (`make demo`). The client sends 60 requests a second, half over kept connections,
half over new ones, never retries, and at least 5,000 in all. One failed request fails the benchmark.
"""

import argparse
import os
import sys
import time
from contextlib import suppress

from demo import cluster, model
from demo.kube import ROOT, Kube, KubectlFailed
from demo.load import Load, Result
from demo.report import DemoFailure

NAME = "rollout-load"
ROUND = (
    ("scale 1 -> 3", {"replicas": 3}),
    ("v1 -> v2", {"image": "catfish-server:v2"}),
    ("scale 3 -> 1", {"replicas": 1}),
    ("v2 -> v1", {"image": "catfish-server:v1"}),
)


def main() -> int:
    """Print a table and the verdict; 1 when a request failed or the rate was missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=5000)
    parser.add_argument("--rate", type=float, default=60)
    options = parser.parse_args()
    os.chdir(ROOT)
    kube = cluster.running()
    if kube is None:
        print("No cluster answers: run `make demo` first.")
        return 1
    try:
        kube.apply(model.manifest(NAME))
        result = measure(kube, options.requests, options.rate)
    except (DemoFailure, KubectlFailed, TimeoutError) as error:
        print(error)
        return 1
    finally:
        with suppress(KubectlFailed):  # the verdict is what counts
            kube.run("delete", "cfm", NAME, "--ignore-not-found", "--wait=false")
    print(f"\n{result.sentence()}")
    print(f"a zero of {result.total} bounds the rate of failures by 3/{result.total} (95 %)")
    return int(result.failed > 0 or result.total < options.requests or result.rate < 50)


def measure(kube: Kube, requests: int, rate: float) -> Result:
    """Change the model round after round until the client has sent this many requests."""
    model.settled(kube, NAME)
    address = model.url(kube, NAME)
    print(f"{'step':<16} {'took':>8} {'requests':>9} {'failed':>7}")
    with Load(address, model.samples(), rate=rate) as load:
        while load.result().total < requests:
            for title, change in ROUND:
                before, began = load.result(), time.monotonic()
                kube.patch(NAME, change)
                model.settled(kube, NAME)
                now = load.result()
                took = time.monotonic() - began
                asked, failed = now.total - before.total, now.failed - before.failed
                print(f"{title:<16} {took:>6.1f} s {asked:>9} {failed:>7}", flush=True)
    return load.result()


if __name__ == "__main__":
    sys.exit(main())
