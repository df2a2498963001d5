"""What came of one bad update, and what is wrong with that. Pure."""

from dataclasses import dataclass

from demo.load import Result
from tests.faults.kinds import BACK_SECONDS, CANARY, Kind
from tests.faults.sight import Sight

UNEVEN = 1.5
"""Half of the client's connections are kept, and may all lead to one pod."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """One kind tried once.

    Attributes:
        system: `catfish` or `plain`.
        kind: what was wrong with v2.
        sight: what was seen of the pods and the status.
        load: what the client saw.
        leaked: whether events or status held the secret that was planted.
        says: the word that the status had at the end where it told of no failure.
    """

    system: str
    kind: Kind
    sight: Sight
    load: Result
    leaked: bool = False
    says: str = ""

    @property
    def wrong(self) -> int:
        """Answers with another class than is right."""
        return sum(count for reason, count in self.load.failures.items() if " instead of " in reason)

    @property
    def failed(self) -> int:
        """Requests without an answer, or with an error."""
        return self.load.failed - self.wrong

    @property
    def since(self) -> float:
        """The moment that the seconds are counted from, by the kind's patience.

        A pod that answers with errors reports nothing of itself: it counts from its first request on.
        """
        seen, patience = self.sight, self.kind.patience
        if self._answers_badly:
            return seen.served or 0.0
        moments = {
            "none": seen.reported,
            "after ready": seen.reported,
            "strikes": seen.struck,
            "deadline": seen.progressed,
        }
        return moments[patience] or 0.0

    @property
    def _answers_badly(self) -> bool:
        return "CanaryErrorRate" in self.kind.reasons

    @property
    def noticed_after(self) -> float | None:
        """Seconds until the status told of it."""
        return None if self.sight.noticed is None else self.sight.noticed - self.since

    @property
    def back_after(self) -> float | None:
        """Seconds until v1 alone was there, whole, with the template hash that it had."""
        return None if self.sight.back is None else self.sight.back - self.since

    @property
    def _held(self) -> float:
        """Requests that one bad pod can have got while it was there: its share of all, and what chance adds."""
        seen = self.sight
        if seen.begun is None or seen.back is None:
            return self.load.total
        return UNEVEN * self.load.rate * (seen.back - seen.begun) / (seen.replicas + 1)

    @property
    def _least(self) -> int:
        """Ready pods of v1 that must always be there: all, unless they are replaced already when v2 shows itself.

        The only pod of a model is not replaced before v2 is proven.
        """
        return 0 if self.kind.released and self.sight.replicas > 1 else self.sight.replicas

    def complaints(self, *, grace: float = 0.0) -> list[str]:
        """What is not as it must be, in sentences; empty: all well.

        Args:
            grace: seconds more that v1 may take to be back: the operator or the API server was away so long.
        """
        kind, seen = self.kind, self.sight
        allowed = BACK_SECONDS[kind.patience] + grace
        if self._answers_badly:  # it takes a hundred requests to each side, within the canary's time
            allowed += CANARY
        back = self.back_after
        found = {
            f"the reason shown is {seen.reason or 'none'}, not {' or '.join(sorted(kind.reasons))}": seen.reason
            not in kind.reasons,
            f"{self.wrong} wrong answers": self.wrong > 0,
            f"{self.failed} failed requests, and no bad pod was ever ready": not kind.serves
            and self.failed > 0,
            f"{self.failed} failed requests, and the bad pods held some {self._held:.0f}": kind.serves
            and self.failed > self._held,
            f"v1 went down to {seen.least_v1} ready pods of {seen.replicas}": seen.least_v1 < self._least,
            "no pod was ready": seen.least_ready < 1,
            "v1 is not back": back is None,
            f"v1 was back after {back or 0:.1f} s, {allowed:.0f} s are allowed": back is not None
            and back > allowed,
            f"v2 was tried again ({seen.tried_again} looks)": seen.tried_again > 0 and not kind.retried,
            "events or status hold a secret": self.leaked,
        }
        return [sentence for sentence, holds in found.items() if holds]
