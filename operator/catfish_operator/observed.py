"""What was seen of one model and of everything that carries its name, frozen at one moment.

Made by the controller's cache; read by `plan` and `status`. The objects are raw and may be somebody else's.
"""

from dataclasses import dataclass
from datetime import datetime

from catfish_operator.model import Json


@dataclass(frozen=True, slots=True, kw_only=True)
class Observed:
    """One look at one model. A None means that there was no such object.

    Attributes:
        now: the moment of the look, UTC. Only written into conditions, never compared with a server's time.
        body: the CatfishModel as the API server gave it.
        served: kinds of APIs that not every cluster has and this one has (ServiceMonitor).
        revisions: ControllerRevisions that carry the model's label or a name that the model wants.
        pods: pods that carry the model's label.
    """

    now: datetime
    body: Json
    deployment: Json | None = None
    service: Json | None = None
    budget: Json | None = None
    autoscaler: Json | None = None
    monitor: Json | None = None
    served: frozenset[str] = frozenset()
    revisions: tuple[Json, ...] = ()
    pods: tuple[Json, ...] = ()
