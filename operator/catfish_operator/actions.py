"""The writes that a plan may ask for, and the plan itself. `plan` makes them, `reconcile` does them."""

from dataclasses import dataclass
from typing import Any

from catfish_operator.history import EMPTY, History
from catfish_operator.model import CatfishModel, Json
from catfish_operator.reasons import Verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class Apply:
    """Server-side apply of all our fields of one object.

    Attributes:
        manifest: the fields that are ours, whole.
        uid: the object that was seen and is ours; None: create it, if there is none.
    """

    manifest: Json
    uid: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Replace:
    """Replaces one part of an object whole, which removes what others added to it; apply could not.

    Attributes:
        resource_version: the write must fail if the object has changed since.
        path: of the part, as a JSON pointer.
        also: other parts that must change in the same write, by path.
    """

    api_version: str
    kind: str
    namespace: str
    name: str
    uid: str
    resource_version: str
    path: str
    value: Any
    also: tuple[tuple[str, Any], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Delete:
    """Deletes one object if it is still the one that was seen.

    Attributes:
        resource_version: None: a change meanwhile does not matter.
    """

    api_version: str
    kind: str
    namespace: str
    name: str
    uid: str
    resource_version: str | None = None


Action = Apply | Replace | Delete


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What is to be done for one model now, and what was found out on the way.

    Attributes:
        actions: the writes, in their order.
        confirm: the actions rest on objects that must be read live before them.
        verdict: how far the model is from what its spec asks for.
        history: the revisions as they lie in the cluster; what the actions change of them is told once it is done.
        model: None if the spec cannot be understood.
        target: the name of the revision that the spec asks for; None if that is unknown.
        requeue_after: seconds after which to look again though nothing happens; None: events are enough.
    """

    actions: tuple[Action, ...] = ()
    confirm: bool = False
    verdict: Verdict
    history: History = EMPTY
    model: CatfishModel | None = None
    target: str | None = None
    requeue_after: float | None = None
