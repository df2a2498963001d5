"""Kubernetes quantities by value: `0.5` and `500m` are the same CPU.

https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/quantity/
"""

import re
from decimal import Decimal

PATTERN = re.compile(r"([+-]?(?:\d+\.?\d*|\.\d+))(?:([EPTGMK]i|[numkMGTPE])|[eE]([+-]?\d{1,3}))?")
DECIMAL = {"n": -9, "u": -6, "m": -3, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
BINARY = {"Ki": 10, "Mi": 20, "Gi": 30, "Ti": 40, "Pi": 50, "Ei": 60}


def parse(value: object) -> Decimal | None:
    """The value of a quantity; None if it is not one."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return None
    match = PATTERN.fullmatch(str(value))
    if match is None:
        return None
    number, suffix, exponent = match.groups()
    if suffix in BINARY:
        return Decimal(number) * Decimal(2 ** BINARY[suffix])
    return Decimal(number).scaleb(DECIMAL[suffix] if suffix else int(exponent or 0))


def same(one: object, other: object) -> bool:
    """Says whether two quantities have the same value."""
    left, right = parse(one), parse(other)
    return one == other if left is None or right is None else left == right


def canonical(value: object) -> str:
    """One spelling for all quantities of the same value."""
    number = parse(value)
    return str(value) if number is None else f"{number.normalize():f}"
