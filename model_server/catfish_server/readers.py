"""Readers of settings: from the text of an environment variable to a checked value.

Each takes the text, never empty, and returns the value or raises a ValueError that says what is expected;
settings.py adds where the text came from.
"""

import json
import math
import re
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

TRUE_WORDS = frozenset({"1", "true", "yes", "on"})
FALSE_WORDS = frozenset({"0", "false", "no", "off"})


def integer(low: int, high: int) -> Callable[[str], int]:
    """A reader of whole numbers within the bounds."""

    def parse(text: str) -> int:
        if not re.fullmatch(r"[+-]?[0-9]{1,18}", text) or not low <= int(text) <= high:
            raise ValueError(f"must be a whole number from {low} to {high}")
        return int(text)

    return parse


def number(low: float, high: float) -> Callable[[str], float]:
    """A reader of numbers within the bounds; NaN is outside of any."""

    def parse(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not low <= value <= high:
            raise ValueError(f"must be a number from {low:g} to {high:g}")
        return value

    return parse


def triple(low: float, high: float, *, above: bool) -> Callable[[str], tuple[float, ...]]:
    """A reader of three comma-separated numbers; with `above` the lower bound itself is refused."""

    def parse(text: str) -> tuple[float, ...]:
        expected = (
            f"must be three numbers {'above' if above else 'from'} {low:g} to {high:g}, comma-separated"
        )
        try:
            values = tuple(float(part) for part in text.split(","))
        except ValueError:
            raise ValueError(expected) from None
        if len(values) != 3 or not all(low <= v <= high and not (above and v == low) for v in values):
            raise ValueError(expected)
        return values

    return parse


def boolean(text: str) -> bool:
    """True or false in the words that people use."""
    if text.lower() in TRUE_WORDS:
        return True
    if text.lower() in FALSE_WORDS:
        return False
    raise ValueError("must be true or false")


def sha256(text: str) -> str:
    """A digest in lowercase."""
    if not re.fullmatch(r"[0-9a-fA-F]{64}", text):
        raise ValueError("must be 64 hexadecimal digits")
    return text.lower()


def name(text: str) -> str:
    """A word that is safe in a header and in a path of Python's modules."""
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,252}", text):
        raise ValueError("must be a name of letters, digits, '_', '.' and '-'")
    return text


def choice(*words: str) -> Callable[[str], str]:
    """A reader of one of a few words."""

    def parse(text: str) -> str:
        if text not in words:
            raise ValueError(f"must be one of {', '.join(words)}")
        return text

    return parse


def header_name(text: str) -> str:
    """The name of an HTTP header."""
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9-]{0,63}", text):
        raise ValueError("must be the name of a header: letters, digits and '-'")
    return text


def hosts(text: str) -> tuple[str, ...]:
    """Host names with commas between them, lowercase, without a trailing dot."""
    return tuple(host.strip().lower().rstrip(".") for host in text.split(",") if host.strip())


def classes(text: str) -> tuple[str, ...]:
    """At least two different names."""
    names: object = text.split(",")
    if text.startswith("["):
        try:
            names = json.loads(text)
        except (ValueError, RecursionError):
            raise ValueError("must be a JSON array of strings, or names with commas between them") from None
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise ValueError("must be a JSON array of strings, or names with commas between them")
    stripped = tuple(name.strip() for name in names)
    if len(stripped) < 2 or not all(stripped):
        raise ValueError("must name at least two classes, none of them empty")
    if len(set(stripped)) != len(stripped):
        raise ValueError("must not name a class twice")
    if not all(name.isprintable() for name in stripped):
        raise ValueError("must hold printable characters only")
    return stripped


def samples(text: str) -> tuple[tuple[str, str], ...]:
    """Golden images: the name of a file, which leads nowhere else, and the class that it shows."""
    expected = 'must be a JSON array of [file, class], such as [["chelsea.jpg", "cat"]]'
    try:
        pairs = json.loads(text)
    except (ValueError, RecursionError):
        raise ValueError(expected) from None
    if not isinstance(pairs, list) or not all(_is_pair(pair) for pair in pairs):
        raise ValueError(expected)
    read = tuple((str(name), label.strip()) for name, label in pairs)
    if not all(label and "/" not in name and name not in {"", ".", ".."} for name, label in read):
        raise ValueError("must name files without a path, each with a class that is not empty")
    if not all(name.isprintable() for name, _ in read):
        raise ValueError("must hold printable characters only")
    if len({name for name, _ in read}) != len(read):
        raise ValueError("must not name a file twice")
    return read


def _is_pair(value: object) -> bool:
    return isinstance(value, list) and len(value) == 2 and all(isinstance(part, str) for part in value)


def log_level(text: str) -> str:
    """A level of Python's logging."""
    if text.upper() not in {"DEBUG", "INFO", "WARNING", "ERROR"}:
        raise ValueError("must be DEBUG, INFO, WARNING or ERROR")
    return text.upper()


def one_of(*words: str) -> Callable[[str], str]:
    """A reader of one of these words."""

    def read(text: str) -> str:
        if text.lower() not in words:
            raise ValueError(f"must be {', '.join(words[:-1])} or {words[-1]}")
        return text.lower()

    return read


def some_of(*words: str) -> Callable[[str], tuple[str, ...]]:
    """A reader of one or more of these words, with commas between them; their own order holds."""

    def read(text: str) -> tuple[str, ...]:
        wanted = {word.strip().upper() for word in text.split(",") if word.strip()}
        if not wanted or not wanted <= set(words):
            raise ValueError(f"must be one or more of {', '.join(words)}, comma-separated")
        return tuple(word for word in words if word in wanted)

    return read


def http_url(text: str) -> str:
    """The address of an HTTP service, without a path of its own after it."""
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        raise ValueError("must be an http:// or https:// address") from None
    if parts.scheme not in {"http", "https"} or not parts.hostname or port == 0:
        raise ValueError("must be an http:// or https:// address")
    if parts.username is not None or parts.query or parts.fragment:
        raise ValueError("must hold no user name, query or fragment")
    return text.rstrip("/")


def json_object(text: bytes, *, max_brackets: int) -> dict[str, Any]:
    """The JSON object of a body.

    Raises:
        ValueError: it is none, or has more brackets; the text is a sentence for the caller.
    """
    # The parser is recursive. Brackets inside strings count too: no request needs that many of them.
    if text.count(b"{") + text.count(b"[") > max_brackets:
        raise ValueError(f"The JSON has more than {max_brackets} brackets.")
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:  # UnicodeDecodeError is a ValueError
        raise ValueError("The body is not JSON.") from error
    if not isinstance(document, dict):
        raise ValueError("The body must be a JSON object.")  # noqa: TRY004 (what a caller sent is a value)
    return document
