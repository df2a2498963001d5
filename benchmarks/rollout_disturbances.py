"""What happens to the operator or the API server while `benchmarks.rollout` tries its bad updates."""

from demo.kube import Kube
from tests.faults.campaign import Campaign
from tests.faults.disruptions import (
    OPERATOR_START_SECONDS,
    QUIET_SECONDS,
    ApiServerAway,
    OperatorKilledWhileItDecides,
    after_all,
)
from tests.faults.kinds import Kind
from tests.faults.outcome import Outcome


class Disturbances:
    """One for each attempt, or one for all of them, and whether it came when it should."""

    def __init__(self, kube: Kube, *, kill_operator: bool, apiserver_away: float) -> None:
        """Takes what is wanted; seconds, 0: the API server stays."""
        self._kube, self._kill_operator = kube, kill_operator
        self._away = ApiServerAway(apiserver_away) if apiserver_away else None
        self._kills: list[OperatorKilledWhileItDecides] = []
        self._complaints: dict[int, list[str]] = {}

    @property
    def together(self) -> bool:
        """Whether all lanes change their specs at the same time: there is one API server."""
        return self._away is not None

    def disturb(self, campaign: Campaign, *, lanes: int) -> None:
        """Has a campaign disturbed; attempts whose operator is killed come one by one, for there is one operator."""
        if self._away is not None:
            campaign.disturb = after_all(self._away, of=lanes)
        elif self._kill_operator:
            campaign.parallel, campaign.disturb = 1, self._kill

    def over(self, outcome: Outcome) -> None:
        """Told of each outcome before the next attempt begins."""
        if self._kills:
            self._kills[-1].close()
            self._complaints[id(outcome)] = self._kills[-1].complaints()

    def complaints(self, outcome: Outcome) -> list[str]:
        """What did not come as it should, in sentences."""
        return self._complaints.get(id(outcome), [])

    def grace(self, kind: Kind) -> float:
        """Seconds more that v1 may take, because nobody could act for so long, or the deadline began anew."""
        if self._away is not None:
            return self._away.unreachable + OPERATOR_START_SECONDS
        if self._kill_operator:
            return OPERATOR_START_SECONDS + (QUIET_SECONDS if kind.patience == "deadline" else 0.0)
        return 0.0

    @property
    def told(self) -> str:
        """How long the API server was away, in a sentence; empty if it was not."""
        if self._away is None:
            return ""
        return (
            f"The API server was away for {self._away.seconds:.0f} s; a pod could reach it again "
            f"{self._away.unreachable:.0f} s after it went."
        )

    def close(self) -> None:
        """Leaves the operator and the API server running."""
        for kill in self._kills:
            kill.close()
        if self._away is not None:
            self._away.join()

    def _kill(self) -> OperatorKilledWhileItDecides:
        self._kills.append(OperatorKilledWhileItDecides(self._kube))
        return self._kills[-1]
