"""docs/resource.md lists what the CRD and the reasons say: `pytest tests/test_resource_docs.py --golden-update`."""

from pathlib import Path

import pytest
import yaml

from catfish_operator import reasons
from tools.core_types import BLOCK

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "resource.md"
CRD = ROOT / "crds" / "catfishmodels.yaml"

COPIED = {"affinity", "topologySpreadConstraints"}
"""Kubernetes' own types: the page names them and leaves their fields to Kubernetes' documentation."""


def rows(schema, path):
    required = schema.get("required", [])
    for name, below in schema.get("properties", {}).items():
        default = f"`{shown(below['default'])}`" if "default" in below and below["type"] != "object" else ""
        default = "required" if name in required else default
        yield f"| `{path}.{name}` | {below['type']} |{f' {default} ' if default else ' '}| {below['description']} |"
        if name in COPIED:
            continue
        inner = below["items"] if below["type"] == "array" else below
        yield from rows(inner, f"{path}.{name}" + ("[]" if below["type"] == "array" else ""))


def shown(value):
    return str(value).lower() if isinstance(value, bool) else value


def tables():
    schema = yaml.safe_load(CRD.read_text())["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]
    head = "| field | type | default | meaning |\n|---|---|---|---|\n"
    for part in ("spec", "status"):
        yield f"## {part}", head + "\n".join(rows(schema[part], part)) + "\n"
    head = "| reason | meaning |\n|---|---|\n"
    for heading, words in (
        ("In the way (`Stalled`):", reasons.STALLED),
        ("On the way (`Reconciling`):", reasons.RECONCILING),
        ("Everything else:", reasons.SETTLED),
        ("Of Events alone:", reasons.EVENTS),
    ):
        yield heading, head + "".join(f"| `{name}` | {text} |\n" for name, text in words.items())


@pytest.mark.parametrize("heading", list(dict(tables())))
def test_the_page_says_what_the_schema_and_the_reasons_say(heading, request):
    wanted = dict(tables())[heading]
    before, _, rest = PAGE.read_text().partition(f"{heading}\n\n")
    assert rest, f"{PAGE.name} has no {heading}"
    table, _, after = rest.partition("\n\n")
    if request.config.getoption("--golden-update"):
        PAGE.write_text(f"{before}{heading}\n\n{wanted}" + (f"\n{after}" if after else ""))
    else:
        assert table.rstrip("\n") + "\n" == wanted


def test_every_field_is_described():
    schema = yaml.safe_load(CRD.read_text())["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    assert list(undescribed(schema["properties"]["spec"], "spec")) == []
    assert list(undescribed(schema["properties"]["status"], "status")) == []


def undescribed(schema, path):
    for name, below in schema.get("properties", {}).items():
        if "description" not in below:
            yield f"{path}.{name}"
        yield from undescribed(below.get("items", below), f"{path}.{name}")


def test_there_are_copies_of_kubernetes_types():
    assert len(BLOCK.findall(CRD.read_text())) == 2
