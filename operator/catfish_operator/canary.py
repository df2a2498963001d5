"""Compares the first new pods with the old ones by the requests that both have answered. Called by `rollout`."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from catfish_operator import pods
from catfish_operator.model import CatfishModel, Json
from catfish_operator.observed import Observed, Reading
from catfish_operator.pods import Fault
from catfish_operator.progress import Progress

ENOUGH = 100
"""Requests on each side from which on numbers are believed; with fewer, time alone decides …"""

UNASKED_SECONDS = 120
"""For which it is waited that the new pods are asked for as long as they are to be watched, where the old ones are
asked all the time: a Service may be late with their addresses. Not for ever: clients that keep their connections stay
with the old pods."""

FEW, GROSS = 20, 0.5
"""… unless the difference is gross: half of all answers, among as many requests on each side, is no chance."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """What one side has answered since the rollout began."""

    requests: int
    errors: int
    predictions: int
    seconds: float

    @property
    def error_rate(self) -> float:
        """Errors among the answers, 0..1."""
        return self.errors / self.requests if self.requests else 0.0

    @property
    def latency(self) -> float:
        """Mean seconds of an answer that was a prediction; one that refuses a request takes no time to speak of."""
        return self.seconds / self.predictions if self.predictions else 0.0


def observed_enough(observed: Observed, found: Progress) -> bool:
    """Says whether both sides have answered enough requests to be compared."""
    return min(side.requests for side in _sides(observed, found)) >= ENOUGH


def busy(observed: Observed, found: Progress) -> bool:
    """Says whether the old pods are asked enough to expect as much of the new ones."""
    return _old_share(observed, found).requests >= ENOUGH


def fault(observed: Observed, found: Progress, *, model: CatfishModel) -> Fault | None:
    """What the numbers say against the new pods; None if they say nothing."""
    new, old = _sides(observed, found)
    least, limits, worse = (
        min(new.requests, old.requests),
        model.rollout.canary,
        new.error_rate - old.error_rate,
    )
    if worse > limits.max_error_rate and (least >= ENOUGH or (least >= FEW and worse >= GROSS)):
        shares = f"{new.error_rate:.1%} of their {new.requests} answers are errors"
        detail = f"{shares}, {old.error_rate:.1%} of the old pods'"
        return Fault(reason="CanaryErrorRate", detail=detail, patience="none")
    ratio = limits.max_latency_ratio
    measured = min(new.predictions, old.predictions)
    if ratio is not None and measured >= ENOUGH and old.latency and new.latency / old.latency > ratio:
        detail = f"{1000 * new.latency:.0f} ms a prediction, {1000 * old.latency:.0f} ms in the old pods"
        return Fault(reason="CanaryLatency", detail=detail, patience="none")
    return None


def _sides(observed: Observed, found: Progress) -> tuple[Share, Share]:
    """The new pods' share and the old ones'."""
    return _share(observed, found.fresh, {}), _old_share(observed, found)


def _old_share(observed: Observed, found: Progress) -> Share:
    """What the old pods have answered since the rollout began; one that was not asked since then has not told yet."""
    baseline = observed.watch.baseline
    return _share(observed, [pod for pod in found.outdated if pods.identity(pod) in baseline], baseline)


def _share(observed: Observed, side: Iterable[Json], baseline: Mapping[str, Reading]) -> Share:
    """What pods have answered since their reading in the baseline; the counts of one that was restarted begin at 0."""
    requests, errors, predictions, seconds = 0, 0, 0, 0.0
    for pod in side:
        reading = observed.readings.get(pods.identity(pod))
        if reading is None or not reading.counted:
            continue
        first = baseline.get(pods.identity(pod), Reading())
        first = first if first.requests <= reading.requests else Reading()
        requests += reading.requests - first.requests
        errors += reading.errors - first.errors
        predictions += reading.predictions - first.predictions
        seconds += reading.seconds - first.seconds
    return Share(requests=requests, errors=errors, predictions=predictions, seconds=seconds)
