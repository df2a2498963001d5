"""What was seen of one model and of everything that carries its name, frozen at one moment.

Made by the controller's cache, completed by `reconcile` with what is remembered of the rollout; read by `plan`
and `status`. The objects are raw and may be somebody else's.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from catfish_operator.model import Json


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What a pod's admin port told of itself.

    Attributes:
        stage: a word of docs/contract.md; None: it was not told.
        done: how far the stage is, bytes while fetching.
        requests, errors: predictions answered since the server started, and how many of them with a status of 5xx.
        predictions, seconds: how many of them were measured, which are those that a model answered, and the sum of
            the time that these took.
        counted: whether the numbers could be read at all.
        weights: sha256, bytes, format and downloadSeconds, None before they are known.
        golden: right and total of the golden images, None before they are answered.
        at: when it was told, in seconds of a monotonic clock; two that tell the same are equal all the same.
    """

    stage: str | None = None
    done: int = 0
    requests: int = 0
    errors: int = 0
    predictions: int = 0
    seconds: float = 0.0
    counted: bool = False
    weights: Json | None = None
    golden: Json | None = None
    at: float = field(default=0.0, compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Watch:
    """What had to be remembered of the present rollout, because no single look shows it. Made by `watch`.

    Seconds are of a monotonic clock. It is lost with the process, and every time then begins anew: a canary is
    watched for longer, nothing is released too early.

    Attributes:
        trial: the rollout that this is about; another one starts from nothing.
        at: when the last look was.
        since: since when each of the facts that hold now has held without a break.
        best: the furthest that each number of the progress has been.
        progressed_at: when one of them last rose, or when none of them was awaited.
        calm: the longest time for which none was awaited of pods that are there.
        ready: by pod: how often its containers had been restarted when it was last seen Ready.
        began: when the first look at this rollout was.
        baseline: by pod of another revision: the first reading of it that was told since then.
    """

    trial: tuple[str | None, ...] = ()
    at: float = 0.0
    since: Mapping[str, float] = field(default_factory=dict)
    best: tuple[int, ...] = ()
    progressed_at: float = 0.0
    calm: float = 0.0
    ready: Mapping[str, int] = field(default_factory=dict)
    began: float = 0.0
    baseline: Mapping[str, Reading] = field(default_factory=dict)

    def lasted(self, fact: str) -> float:
        """Seconds for which a fact has held; 0 if it does not hold."""
        return self.at - self.since.get(fact, self.at)

    @property
    def quiet(self) -> float:
        """Seconds since the last progress."""
        return self.at - self.progressed_at


@dataclass(frozen=True, slots=True, kw_only=True)
class Observed:
    """One look at one model. A None means that there was no such object.

    Attributes:
        now: the moment of the look, UTC. Only written down; of what is read, only the time of a next try that
            this operator (or one before it) set itself is compared with it.
        body: the CatfishModel as the API server gave it.
        served: kinds of APIs that not every cluster has and this one has (ServiceMonitor).
        revisions: ControllerRevisions that carry the model's label or a name that the model wants.
        pods: pods that carry the model's label.
        readings: what pods told of themselves, by `pods.identity`; a pod that could not be asked is missing.
        watch: what is remembered of the rollout.
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
    readings: Mapping[str, Reading] = field(default_factory=dict)
    watch: Watch = field(default_factory=Watch)
