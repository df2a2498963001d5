"""Text for a terminal: tables, labelled paragraphs, colours where they are wanted. Pure: the clock is an argument."""

import re
import textwrap
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final

from catfish_operator.plugin.explain import STATES, Explanation
from catfish_operator.plugin.history import Row
from catfish_operator.reasons import presentable

LABEL = 13  # columns: the longest label, `What to do`, and a gap
COMMAND, NO_BREAK = re.compile(r"`[^`]*`"), "\u00a0"  # a command stays on one line, to be copied
PLAIN, RED, GREEN, YELLOW = "", "31", "32", "33"
COLOURS: Final = {
    "UpToDate": GREEN, "proven": GREEN, "RolledBack": RED, "Stalled": RED, "failed": RED,
    "Canary": YELLOW, "Baking": YELLOW, "Progressing": YELLOW, "Paused": YELLOW, "Changed": YELLOW, "Unseen": YELLOW,
}  # fmt: skip


def coloured(text: str, word: str, *, colours: bool) -> str:
    """The text in the colour that stands for a state or a verdict."""
    code = COLOURS.get(word, PLAIN)
    return f"\x1b[{code}m{text}\x1b[0m" if colours and code else text


def explanation(found: Explanation, *, now: datetime, width: int | None, colours: bool) -> str:
    """One screen.

    Args:
        found: what to say.
        now: for how long ago something was.
        width: columns to wrap at; None: not at all.
        colours: whether to use any.
    """
    state = coloured(STATES[found.state], found.state, colours=colours)
    parts: list[tuple[str, Sequence[str | None]]] = [
        ("Serves", [*(_serves(found) or [_nothing(found)]), found.url]),
        ("Wanted", [*_wanted(found)]),
        (_why_label(found), [_why(found), _where(found)]),
        ("Since", [_moment(found.since, now)]),
        ("Next try", [_moment(found.retry_at, now)]),
        ("What to do", [*_listed(found.to_do)]),
    ]
    lines = [f"{found.name} (namespace {found.namespace}) {state}.", ""]
    for label, paragraphs in parts:
        for index, paragraph in enumerate(filter(None, paragraphs)):
            lines += _labelled("" if index else label, paragraph, width)
    return "\n".join(lines)


def history(rows: Sequence[Row], *, colours: bool) -> str:
    """A table; an asterisk stands before the revision that the spec asks for."""
    head = ("", "REVISION", "VERDICT", "RESULT", "STARTED", "IMAGE", "REASON", "SERVES")
    cells = [
        (
            "*" if row.wanted else "",
            row.revision,
            row.verdict,
            row.result or "-",
            row.started_at or "-",
            row.image or "-",
            row.reason or "-",
            "yes" if row.serves else "-",
        )
        for row in rows
    ]
    cleaned = [[presentable(cell) for cell in line] for line in cells]
    widths = [max(len(line[column]) for line in [head, *cleaned]) for column in range(len(head))]
    words = {row.verdict: row.verdict for row in rows}
    return "\n".join(_row(line, widths, words, colours=colours) for line in [head, *cleaned])


def _row(cells: Sequence[str], widths: Sequence[int], words: Mapping[str, str], *, colours: bool) -> str:
    padded = [
        coloured(cell, words.get(cell, ""), colours=colours) + " " * (width - len(cell))
        for cell, width in zip(cells, widths, strict=True)
    ]
    return (padded[0] + " " + "   ".join(padded[1:])).rstrip()


def _labelled(label: str, paragraph: str, width: int | None) -> list[str]:
    text = presentable(paragraph) + ("." if paragraph.endswith(".") else "")
    if width:
        whole = COMMAND.sub(lambda found: found[0].replace(" ", NO_BREAK), text)
        below = "  " if text.startswith("- ") else ""
        room = max(width - LABEL, 40)
        wrapped = textwrap.wrap(
            whole, room, subsequent_indent=below, break_long_words=False, break_on_hyphens=False
        )
        lines = [line.replace(NO_BREAK, " ") for line in wrapped]
    else:
        lines = [text]
    return [f"{label if index == 0 else '':<{LABEL}}{line}" for index, line in enumerate(lines)]


def _listed(sentences: Sequence[str]) -> Sequence[str]:
    return [f"- {sentence}" for sentence in sentences] if len(sentences) > 1 else sentences or ["Nothing."]


def _nothing(found: Explanation) -> str:
    """Why no pod serves: the message is a sentence of its own, that here follows a colon."""
    return f"nothing: {found.not_ready[0].lower()}{found.not_ready[1:]}" if found.not_ready else "nothing"


def _serves(found: Explanation) -> list[str]:
    return [
        f"{item.revision}{_on(item.pods)}{f', image {item.image}' if item.image else ''}"
        for item in found.serving
    ]


def _on(pods: int | None) -> str:
    return "" if pods is None else " on 1 pod" if pods == 1 else f" on {pods} pods"


def _wanted(found: Explanation) -> list[str]:
    if [item.revision for item in found.serving] == [found.wanted]:
        return ["the same"]
    what = found.wanted or "a spec that cannot be read"
    image = f", image {found.image}" if found.image else ""
    return [f"{what}{image}", *([f"weights {found.weights}"] if found.weights else [])]


def _why_label(found: Explanation) -> str:
    return "Under way" if found.state in ("Canary", "Baking", "Progressing") else "Why not"


def _why(found: Explanation) -> str | None:
    return f"{found.reason}: {found.message}" if found.reason else None


def _where(found: Explanation) -> str | None:
    if found.pod is None:
        return None
    return f"in pod {found.pod}" + ("" if found.exit_code is None else f", exit code {found.exit_code}")


def _moment(text: str | None, now: datetime) -> str | None:
    """A time and how far it is from now."""
    if text is None:
        return None
    try:
        seconds = round((now - datetime.fromisoformat(text)).total_seconds())
    except (ValueError, TypeError):
        return text
    far = _duration(abs(seconds))
    return f"{text} ({far} ago)" if seconds >= 0 else f"{text} (in {far})"


def _duration(seconds: int) -> str:
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds // size} {unit}"
    return f"{seconds} s"
