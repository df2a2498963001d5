"""The revisions of a model and how each of them went, the latest asked for last. Read by `rollout` and `status`."""

from collections.abc import Iterator
from dataclasses import dataclass

from catfish_operator.model import CatfishModel, Json
from catfish_operator.observed import Observed
from catfish_operator.resources import record, revision
from catfish_operator.resources.metadata import claim
from catfish_operator.resources.record import Record


@dataclass(frozen=True, slots=True)
class Entry:
    """One revision: its name, its number (the greatest is the latest asked for), its record, the object."""

    name: str
    number: int
    record: Record
    live: Json


@dataclass(frozen=True, slots=True)
class History:
    """All revisions that are the model's own, or can be adopted by it, by number."""

    entries: tuple[Entry, ...] = ()

    def __iter__(self) -> Iterator[Entry]:
        """From the first asked for to the latest."""
        return iter(self.entries)

    @property
    def greatest(self) -> int:
        """The greatest number; 0 if there is no revision."""
        return self.entries[-1].number if self.entries else 0

    def find(self, name: str | None) -> Entry | None:
        """The entry of a revision."""
        return next((entry for entry in self.entries if entry.name == name), None)

    def proven(self, *, besides: str | None = None) -> Entry | None:
        """The proven revision that was asked for last, the one to go back to."""
        found = (entry for entry in reversed(self.entries) if entry.name != besides)
        return next((entry for entry in found if entry.record.verdict == "proven"), None)


EMPTY = History()


def history(model: CatfishModel, observed: Observed) -> History:
    """The history as it lies in the cluster."""
    entries = [
        Entry(item["metadata"]["name"], revision.number(item), record.read(item), item)
        for item in observed.revisions
        if claim(model, item) in ("ours", "adoptable") and revision.stored_template(item) is not None
    ]
    return History(tuple(sorted(entries, key=lambda entry: (entry.number, entry.name))))
