"""What a model's ControllerRevisions tell: their inputs, and how each of them went. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass

from catfish_operator.model import Json
from catfish_operator.resources import record, revision


@dataclass(frozen=True, slots=True, kw_only=True)
class Revision:
    """One revision of a model.

    Attributes:
        number: the greatest was asked for last.
        verdict: `proven`, `failed`, or None: undecided.
        failure, rollout: as the operator noted them; {} if it has not.
        inputs: the part of the spec that it was made from; {} if it keeps none that can be used.
    """

    name: str
    number: int
    verdict: str | None
    failure: Json
    rollout: Json
    inputs: Json

    @property
    def image(self) -> str | None:
        """The image that its spec named."""
        image = self.inputs.get("image")
        return image if isinstance(image, str) else None


def of_model(body: Json, found: Iterable[Json]) -> tuple[Revision, ...]:
    """The revisions that the model owns, by number. Those of an earlier model of its name are left out."""
    uid = body["metadata"]["uid"]
    owned = [item for item in found if uid in _owners(item)]
    return tuple(sorted((_read(item) for item in owned), key=lambda item: (item.number, item.name)))


def _owners(item: Json) -> set[str]:
    return {owner["uid"] for owner in item["metadata"].get("ownerReferences") or []}


def _read(item: Json) -> Revision:
    kept, data = record.read(item), item.get("data")
    inputs = data.get("inputs") if isinstance(data, dict) else None
    return Revision(
        name=item["metadata"]["name"],
        number=revision.number(item),
        verdict=kept.verdict,
        failure=record.failure(kept.failure),
        rollout=record.rollout(kept),
        inputs=inputs if isinstance(inputs, dict) else {},
    )
