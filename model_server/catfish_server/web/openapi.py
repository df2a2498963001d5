"""`GET /openapi.json`: the API in OpenAPI 3.1, as it is where it is asked.

The document is written in documents/: openapi.json for what every server has, a part of its own for each API that
a server may have besides. A part describes a path only where the application has a route of it, so the document
never promises what is not there.
"""

import functools
import json
import re
from collections.abc import Callable, Iterable, Mapping
from importlib import resources
from types import MappingProxyType
from typing import Any

from flask import Flask, Response

from catfish_server.settings import Settings
from catfish_server.telemetry.metrics import build_version

BASE = "openapi.json"
PARTS = ("feedback.json", "v2.json")

Document = dict[str, Any]  # JSON
NOTHING: Mapping[str, str] = MappingProxyType({})

_PARAMETER = re.compile(r"<(?:[^:<>]+:)?[^<>]+>|\{[^{}]+\}")


def view(app: Flask, settings: Settings, *, only: Mapping[str, str] = NOTHING) -> Callable[[], Response]:
    """The view function; the document is made when it is first asked for, when all routes are there.

    Args:
        app: whose routes are described.
        settings: whose limits are told.
        only: values of parameters in paths that have but one, such as `model_name`.
    """

    @functools.cache
    def text() -> str:
        rules = [rule.rule for rule in app.url_map.iter_rules()]
        return json.dumps(document(rules, settings, only=only), indent=1) + "\n"

    return lambda: Response(text(), content_type="application/json")


def document(rules: Iterable[str], settings: Settings, *, only: Mapping[str, str] = NOTHING) -> Document:
    """The description of an application.

    Args:
        rules: paths of its routes, as Flask or OpenAPI write them.
        settings: whose limits it tells.
        only: values of parameters in paths that have but one.
    """
    described = _read(BASE)
    described["info"]["version"] = build_version()
    described["components"]["schemas"]["Several"]["properties"]["images"]["maxItems"] = settings.max_images
    known = {_shape(rule) for rule in rules}
    for part in map(_read, PARTS):
        paths = {path: item for path, item in part["paths"].items() if _shape(path) in known}
        if paths:
            described["paths"] |= paths
            described["tags"] += part["tags"]
            for kind, components in part["components"].items():
                described["components"][kind] |= components
    for item in described["paths"].values():
        for operation in item.values():
            for parameter in operation["parameters"]:
                if parameter["in"] == "path" and parameter["name"] in only:
                    parameter["schema"]["enum"] = [only[parameter["name"]]]
    return described


def everything(settings: Settings) -> Document:
    """The description of an application that has all parts."""
    return document([path for part in PARTS for path in _read(part)["paths"]], settings)


def _read(name: str) -> Document:
    text = (resources.files(__package__) / "documents" / name).read_text()
    read: Document = json.loads(text)
    return read


def _shape(path: str) -> str:
    """The path with the names of its parameters left out."""
    return _PARAMETER.sub("{}", path)
