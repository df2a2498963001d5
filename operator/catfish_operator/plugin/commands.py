"""The verbs: each reads what it needs, decides by pure functions, writes at most one patch, returns what to print."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from catfish_operator.errors import Stale
from catfish_operator.model import GROUP, Json
from catfish_operator.plugin import explain as explaining
from catfish_operator.plugin import history as past
from catfish_operator.plugin import revisions, text, undo
from catfish_operator.plugin.api import Api

RETRY = f"{GROUP}/retry"
ATTEMPTS = 5
"""How often an undo is decided anew because the operator has written the status meanwhile."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What the command line asks for, and the terminal it is answered on.

    Attributes:
        name: of the model.
        to: the revision to go back to, None: the last proven one.
        now: UTC.
        width: columns to wrap at; None: not at all.
        colours: whether to use any.
    """

    name: str
    now: datetime
    to: str | None = None
    width: int | None = None
    colours: bool = False


@dataclass(frozen=True, slots=True)
class Answer:
    """The same said to a person and to a program."""

    text: str
    data: Json | list[Json]


def explain(api: Api, request: Request) -> Answer:
    """Explains the model by its status alone."""
    found = explaining.explain(api.model(request.name))
    said = text.explanation(found, now=request.now, width=request.width, colours=request.colours)
    return Answer(said, explaining.as_json(found))


def history(api: Api, request: Request) -> Answer:
    """Lists the revisions."""
    body = api.model(request.name)
    rows = past.history(body, revisions.of_model(body, api.revisions(request.name)))
    said = text.history(rows, colours=request.colours) if rows else f"{request.name} has no revisions yet"
    return Answer(said, past.as_json(rows))


def go_back(api: Api, request: Request) -> Answer:
    """Writes the spec of an older revision back, unless somebody changes the spec meanwhile."""
    body = api.model(request.name)
    generation = body["metadata"]["generation"]
    for attempt in range(ATTEMPTS):
        to = undo.target(body, revisions.of_model(body, api.revisions(request.name)), to=request.to)
        change = undo.change(body, to)
        try:
            if change.patch:
                api.patch(request.name, change.patch)
            break
        except Stale:  # mostly a new status: what was decided on is still so if the generation is
            body = api.model(request.name)
            if attempt == ATTEMPTS - 1 or body["metadata"]["generation"] != generation:
                raise
    data = {"name": request.name, "namespace": api.namespace, "revision": to.name, "changed": change.fields}
    return Answer(_went_back(request.name, to, change.fields), data)


def _went_back(name: str, to: revisions.Revision, fields: list[str]) -> str:
    image = f" (image {to.image})" if to.image else ""
    if not fields:
        return f"{name}: the spec asks for {to.name}{image} already; nothing was written"
    said = f"{name}: the spec asks for {to.name}{image} again; changed: {', '.join(fields)}"
    if to.verdict == "failed":
        said += f"\nnote: that revision has failed before; `kubectl catfish retry {name}` has it tried again"
    return said


def retry(api: Api, request: Request) -> Answer:
    """Has the operator try the failed revision again."""
    value = request.now.strftime("%Y-%m-%dT%H:%M:%S.%fZ")  # microseconds: it must differ from the last one
    body = api.patch(request.name, {"metadata": {"annotations": {RETRY: value}}})
    wanted = undo.current(body)
    failed = {item.get("name") for item in (body.get("status") or {}).get("failedRevisions") or []}
    if wanted in failed:
        said = f"{request.name}: {wanted} is tried again"
    else:
        said = f"{request.name}: asked for a new try, but the status knows of no failure of what the spec asks for"
    data = {"name": request.name, "namespace": api.namespace, "revision": wanted, "retry": value}
    return Answer(said, data)


def restart(api: Api, request: Request) -> Answer:
    """Has all pods replaced by a new revision of the same spec, watched like any other."""
    value = request.now.strftime("%Y-%m-%dT%H:%M:%SZ")
    api.patch(request.name, {"metadata": {"annotations": {undo.RESTARTED_AT: value}}})
    said = (
        f"{request.name}: its pods are replaced; `kubectl catfish explain {request.name}` tells how it goes"
    )
    data = {"name": request.name, "namespace": api.namespace, "restartedAt": value}
    return Answer(said, data)


VERBS: Final[dict[str, Callable[[Api, Request], Answer]]] = {
    "explain": explain,
    "history": history,
    "undo": go_back,
    "retry": retry,
    "restart": restart,
}
