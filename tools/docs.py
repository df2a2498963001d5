"""Writes what the code knows into the pages about the model server: `make docs`.

Each piece stands between two comments, `<!-- generated: NAME -->` and `<!-- end: NAME -->`; the rest of a page is
written by hand. A test holds the pages to it.
"""

import json
import re
import sys
from collections.abc import Callable
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any, NoReturn

from prometheus_client import CollectorRegistry

from catfish_server import variables
from catfish_server.lifecycle import Lifecycle, Weights
from catfish_server.models.model import Runtime
from catfish_server.settings import Settings
from catfish_server.telemetry.metrics import REASONS, Metrics
from catfish_server.telemetry.prediction_log import LogMetrics
from catfish_server.web import openapi
from catfish_server.web.app import create_app

ROOT = Path(__file__).resolve().parents[1]

DEFAULTS = {"threads": "the CPU quota of the container", "classes": "as the weights name them"}
"""Of settings whose default is no value that could be written down."""

PAGES = {
    "docs/server.md": ("settings",),
    "docs/server-api.md": ("api", "metrics"),
    "docs/prediction-log.md": ("log metrics",),
}

Json = Any


def settings_table() -> str:
    """A row for each variable."""
    meanings = _meanings()
    defaults = {field.name: field for field in fields(Settings)}
    lines = ["| variable | flag | field of the `CatfishModel` | default | meaning |", "|---|---|---|---|---|"]
    for one in variables.VARIABLES:
        default = "required" if one.required else DEFAULTS.get(one.attribute)
        if default is None:
            value = defaults[one.attribute].default
            default = "" if value is MISSING else _written(value)
        cells = [f"`{one.name}`", _code(one.flag), _code(one.field), default, meanings[one.attribute]]
        lines.append(_row(cells))
    return "\n".join(lines)


def _meanings() -> dict[str, str]:
    """What the docstring of `Settings` says of each attribute, for who sets variables: there is no None."""
    text = (Settings.__doc__ or "").split("Attributes:")[1]
    found = re.findall(r"^ {8}(\w+): (.*?)(?=^ {8}\w|\Z)", text, re.MULTILINE | re.DOTALL)
    found = [(name, said.replace("None:", "where it is not set:")) for name, said in found]
    return {
        name: re.sub(r"\s*`CATFISH_\w+`\.$", "", " ".join(said.split())).rstrip(".") for name, said in found
    }


def _written(value: object) -> str:
    if value is None or value == ():
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return ", ".join(str(part) for part in value)
    return f"{value:g}" if isinstance(value, float) else str(value)


def api_reference() -> str:
    """A section for each operation that the server has."""
    document = _document()
    parts = []
    for path, item in document["paths"].items():
        for method, operation in item.items():
            said = " ".join(filter(None, (f"{operation['summary']}.", operation.get("description"))))
            parts += [f"### `{method.upper()} {path}`", "", said, ""]
            parts += [*_inputs(document, operation), *_answers(document, operation), ""]
    return "\n".join(parts).rstrip()


def _document() -> Json:
    """The description of an application with all that can be switched on."""
    made = Settings(location="", threads=1)
    app = create_app(made, _Classifier(), Metrics(Lifecycle(), revision=""))
    return openapi.document([rule.rule for rule in app.url_map.iter_rules()], made)


def _inputs(document: Json, operation: Json) -> list[str]:
    rows = [
        [f"{one['in']} `{one['name']}`", "yes" if one.get("required") else "", one.get("description", "")]
        for one in operation.get("parameters", ())
        if one["in"] != "header"
    ]
    body = operation.get("requestBody")
    for kind, media in (body or {"content": {}})["content"].items():
        shape = _shape(document, media["schema"]) or "the bytes"
        rows.append([f"body `{kind}`", "yes" if body.get("required") else "", shape])
    return ["| input | required | meaning |", "|---|---|---|", *map(_row, rows), ""] if rows else []


def _answers(document: Json, operation: Json) -> list[str]:
    lines, problems = [], []
    for status, given in operation["responses"].items():
        answer = _resolved(document, given)
        if "application/problem+json" in answer["content"]:
            problems.append(status)
            continue
        kinds = [
            f"`{kind}` {_shape(document, media['schema'])}".rstrip()
            for kind, media in answer["content"].items()
        ]
        lines.append(f"{status}: {answer['description']} {'; '.join(kinds)}.")
    return [*lines, "", f"Problems: {', '.join(problems)}."]


def _shape(document: Json, schema: Json) -> str:
    """What a schema asks for, in words."""
    if "oneOf" in schema:
        return ", or ".join(filter(None, (_shape(document, one) for one in schema["oneOf"])))
    schema = _resolved(document, schema)
    needed = schema.get("required", ())
    fields = [f"`{name}`" + ("" if name in needed else "?") for name in schema.get("properties", {})]
    return f"{{{', '.join(fields)}}}" if fields else ""


def _resolved(document: Json, part: Json) -> Json:
    if "$ref" not in part:
        return part
    for step in part["$ref"].removeprefix("#/").split("/"):
        document = document[step]
    return document


class _Classifier:
    """Is never asked."""

    shorter_side, max_images = 1, 32
    classes = ("cat", "fish")
    runtime = Runtime(engine="", device="", instruction_set="", threads=1)

    def predict(self, image: object) -> NoReturn:
        raise NotImplementedError

    def predict_all(self, images: object, *, count: int) -> NoReturn:
        raise NotImplementedError

    def infer(self, batch: object) -> NoReturn:
        raise NotImplementedError

    def prediction(self, image: object, logits: object) -> NoReturn:
        raise NotImplementedError


class _Batch:
    """One image."""

    size = 1


def metrics_table() -> str:
    """A row for each family of a server that keeps a prediction log, in which everything has happened once."""
    lifecycle = Lifecycle()
    lifecycle.progress(1, 2)
    lifecycle.fetched(Weights(sha256="", size=1, format="", download_seconds=1.0))
    metrics = Metrics(lifecycle, revision="")
    metrics.watch_runtime(lambda: _Classifier.runtime)
    metrics.batched(_Batch())
    metrics.tried("", "")
    metrics.answered("/", 200)
    metrics.predicted("cat", unknown=True)
    LogMetrics(metrics.registry)
    return families_table(metrics.registry)


def log_metrics_table() -> str:
    """A row for each family of the prediction log."""
    registry = CollectorRegistry()
    LogMetrics(registry)
    return families_table(registry)


def families_table(registry: CollectorRegistry) -> str:
    """A row for each family.

    Raises:
        ValueError: nothing has happened that a family counts, so nobody can tell what labels it has.
    """
    lines = ["| metric | type | meaning |", "|---|---|---|"]
    for family in registry.collect():
        if not family.samples:
            raise ValueError(f"the labels of {family.name} are not known: let it count something")
        labels = sorted({label for one in family.samples for label in one.labels} - {"le"})
        name = family.name + ("_total" if family.type == "counter" else "")
        shown = f"`{name}{{{','.join(labels)}}}`" if labels else f"`{name}`"
        reasons = (
            f" {', '.join(f'`{one}`' for one in REASONS)}." if family.name == "catfish_rejections" else ""
        )
        lines.append(_row([shown, family.type, family.documentation + reasons]))
    return "\n".join(lines)


def _code(text: str | None) -> str:
    return f"`{text}`" if text else ""


def _row(cells: list[str]) -> str:
    return "|" + "|".join(f" {cell.replace('|', chr(92) + '|')} " if cell else " " for cell in cells) + "|"


PIECES: dict[str, Callable[[], str]] = {
    "settings": settings_table,
    "api": api_reference,
    "metrics": metrics_table,
    "log metrics": log_metrics_table,
}


def filled(page: str, names: tuple[str, ...]) -> str:
    """The page with its generated pieces as they should be.

    Raises:
        ValueError: a piece has no place in it.
    """
    for name in names:
        start, end = f"<!-- generated: {name}, by `make docs` -->", f"<!-- end: {name} -->"
        before, found, rest = page.partition(start)
        _, closed, after = rest.partition(end)
        if not found or not closed:
            raise ValueError(f"the page has no place for {name}: {start} … {end}")
        page = f"{before}{start}\n{PIECES[name]()}\n{end}{after}"
    return page


def main() -> None:
    """Writes all pages."""
    for name, names in PAGES.items():
        path = ROOT / name
        path.write_text(filled(path.read_text(), names))
        sys.stdout.write(f"{name}: {json.dumps(names)}\n")


if __name__ == "__main__":
    main()
