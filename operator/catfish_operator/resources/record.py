"""What a revision remembers of how it went: read from and written to labels and annotations of its ControllerRevision.

It lies there and not in the status, because it must survive a lost status and a restored backup, and is written
before the act that follows from it: a crash between the two cannot bring a failed revision back.
"""

import dataclasses
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, cast, get_args

from catfish_operator.model import GROUP, Json

VERDICT_LABEL = f"{GROUP}/verdict"
FAILURE = f"{GROUP}/failure"
ROLLOUT = f"{GROUP}/rollout"
WEIGHTS = f"{GROUP}/weights"

DIGEST = re.compile("[0-9a-f]{64}")

Word = Literal["proven", "failed"]
Result = Literal["Completed", "RolledBack", "Superseded"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """Why a revision failed.

    Attributes:
        reason: a key of `reasons.STALLED`.
        message: the sentence of the case, cleaned.
        pod: the pod that showed it; None: no single pod did.
        exit_code: of the container that ended; None: none did.
        failed_at: RFC 3339, UTC; None: it cannot be read. retry_at too: when it is tried again by itself, None: never.
        tries: how often it was tried.
        retry: the value that the annotation `catfish.dev/retry` of the model had; another one is a new try.
        number: the revision's number when it failed; a greater one means that it was asked for again.
    """

    reason: str
    message: str
    pod: str | None = None
    exit_code: int | None = None
    failed_at: str | None = None
    retry_at: str | None = None
    tries: int = 1
    retry: str | None = None
    number: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """How a revision went so far. Times are RFC 3339 in UTC.

    Attributes:
        verdict: `proven`: it may be gone back to; `failed`: it is not tried again by itself; None: undecided.
        started_at: when its latest rollout began.
        pods: the fewest that were wanted since its latest rollout began; None: an earlier operator did not say.
        released_at: when its first pods had been watched for long enough (or there was nothing to hold for).
        finished_at, result: how its latest rollout ended; None while it is under way.
        unobserved: the first pods were released by time alone: too few requests, or none that could be read.
        weights: sha256, bytes, format and downloadSeconds as its first pod reported them.
        golden: right and total of the golden images, as its first pod answered them.
        image_id: what the first node that ran it made of the image's name.
        retry: the value that the annotation `catfish.dev/retry` of the model had when the spec last asked for it.
    """

    verdict: Word | None = None
    failure: Failure | None = None
    started_at: str | None = None
    pods: int | None = None
    released_at: str | None = None
    finished_at: str | None = None
    result: Result | None = None
    unobserved: bool = False
    weights: Json | None = None
    golden: Json | None = None
    image_id: str | None = None
    retry: str | None = None


LOST = Failure(
    reason="ProgressDeadlineExceeded",
    message="It has failed before; what was written about it cannot be read any more",
)
"""Of a revision whose label says that it has failed and whose annotation does not say why."""


def read(live: Json) -> Record:
    """Reads what a ControllerRevision remembers; what cannot be read counts as never written."""
    metadata = live["metadata"]
    labels, annotations = metadata.get("labels") or {}, metadata.get("annotations") or {}
    word = labels.get(VERDICT_LABEL)
    told, failure = _object(annotations.get(ROLLOUT)), _failure(_object(annotations.get(FAILURE)))
    result = told.get("result")
    return Record(
        verdict=cast("Word", word) if word in get_args(Word) else None,
        failure=failure or (LOST if word == "failed" else None),
        started_at=_moment(told.get("startedAt")),
        pods=_number(told.get("pods"), None),
        released_at=_moment(told.get("releasedAt")),
        finished_at=_moment(told.get("finishedAt")),
        result=cast("Result", result) if result in get_args(Result) else None,
        unobserved=told.get("unobserved") is True,
        weights=weights(_object(annotations.get(WEIGHTS))),
        golden=golden(told.get("verification")),
        image_id=_text(told.get("imageID")),
        retry=_text(told.get("retry")),
    )


def labels(record: Record) -> dict[str, str]:
    """The labels that say it."""
    return {VERDICT_LABEL: record.verdict} if record.verdict else {}


def annotations(record: Record) -> dict[str, str]:
    """The annotations that say it."""
    found = {FAILURE: failure(record.failure), ROLLOUT: rollout(record), WEIGHTS: record.weights}
    return {name: json.dumps(value, ensure_ascii=False) for name, value in found.items() if value}


def rollout(record: Record) -> Json:
    """The latest rollout as JSON: the keys are those of `status.rollout`, and some more."""
    return _without_none(
        {
            "startedAt": record.started_at,
            "pods": record.pods,
            "releasedAt": record.released_at,
            "finishedAt": record.finished_at,
            "result": record.result,
            "unobserved": record.unobserved or None,
            "verification": record.golden,
            "imageID": record.image_id,
            "retry": record.retry,
        }
    )


def failure(found: Failure | None) -> Json:
    """A failure as JSON: the keys are those of `status.failedRevisions`, and some more."""
    if found is None:
        return {}
    names = {field.name: _camel(field.name) for field in dataclasses.fields(found)}
    return _without_none({key: getattr(found, name) for name, key in names.items()})


def weights(raw: object) -> Json | None:
    """The facts of `status.weights` in what a pod or an annotation says; None unless the digest is one."""
    if not isinstance(raw, dict):
        return None
    digest = raw.get("sha256")
    if not isinstance(digest, str) or not DIGEST.fullmatch(digest):
        return None
    facts: Json = {"sha256": digest}
    if isinstance(size := raw.get("bytes"), int) and 0 <= size < 1 << 53:
        facts["bytes"] = size
    if isinstance(kind := raw.get("format"), str) and kind.isprintable():
        facts["format"] = kind[:32]
    if isinstance(seconds := raw.get("downloadSeconds"), int | float) and 0 <= seconds < 1e9:
        facts["downloadSeconds"] = round(float(seconds), 1)
    return facts


def golden(raw: object) -> Json | None:
    """How many golden images were answered right, and how many there are; None unless that is what it says."""
    found = {name: raw.get(name) for name in ("right", "total")} if isinstance(raw, dict) else {}
    right, total = found.get("right"), found.get("total")
    sound = isinstance(right, int) and isinstance(total, int) and 0 <= right <= total < 1 << 31
    return found if sound and total else None


def _failure(raw: Json) -> Failure | None:
    reason = _text(raw.get("reason"))
    if reason is None:
        return None
    return Failure(
        reason=reason,
        message=_text(raw.get("message")) or "",
        pod=_text(raw.get("pod")),
        exit_code=_number(raw.get("exitCode"), None),
        failed_at=_moment(raw.get("failedAt")),
        retry_at=_moment(raw.get("retryAt")),
        tries=_number(raw.get("tries"), None) or 1,
        retry=_text(raw.get("retry")),
        number=_number(raw.get("number"), None) or 0,
    )


def _camel(name: str) -> str:
    first, *others = name.split("_")
    return first + "".join(word.capitalize() for word in others)


def _without_none(values: Mapping[str, Any]) -> Json:
    return {key: value for key, value in values.items() if value is not None}


def _object(text: object) -> Json:
    try:
        value = json.loads(text) if isinstance(text, str) else {}
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _moment(value: object) -> str | None:
    """A moment with its time zone, as it is written."""
    try:
        return value if isinstance(value, str) and datetime.fromisoformat(value).tzinfo else None
    except ValueError:
        return None


def _number(value: object, default: int | None) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else default
