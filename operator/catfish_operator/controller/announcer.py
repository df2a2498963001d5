"""Hands on what `reconcile` did: to the Events and to the metrics."""

from collections.abc import Callable

from catfish_operator import announce
from catfish_operator.actions import Action
from catfish_operator.announce import Announcement
from catfish_operator.model import Json
from catfish_operator.observed import Observed


class Announcer:
    """What `reconcile` calls after its writes."""

    def __init__(
        self, *, put: Callable[[Json, Announcement], None], count: Callable[[str, str], None]
    ) -> None:
        """Connects the two ends.

        Args:
            put: takes an announcement about a model.
            count: takes the result of a rollout that has ended, and the reason.
        """
        self._put = put
        self._count = count

    def status_written(self, body: Json, before: Json | None, after: Json) -> None:
        """A model's status was written."""
        for announcement in announce.changes(before, after):
            self._put(body, announcement)
        for ended in announce.finished_rollouts(before, after):
            self._count(*ended)

    def done(self, observed: Observed, action: Action) -> None:
        """An action was done."""
        for announcement in (*announce.repaired(observed, action), *announce.unobserved(observed, action)):
            self._put(observed.body, announcement)
