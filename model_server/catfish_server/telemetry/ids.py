"""The id that a request has in its answer, the log and the records, and what else a caller says of himself."""

import re
import uuid

_ACCEPTABLE = re.compile(r"[A-Za-z0-9._:/+=@-]{1,128}")


def request_id(given: str | None) -> str:
    """The caller's own id for the request if it is short and harmless, else a new one."""
    if given and _ACCEPTABLE.fullmatch(given):
        return given
    return uuid.uuid4().hex


MAX_LENGTH = 256


def printable(given: str) -> str:
    """What a caller says of himself, without what could break a line, and not longer than `MAX_LENGTH`."""
    return "".join(letter for letter in given if letter.isprintable())[:MAX_LENGTH]
