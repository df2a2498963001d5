"""Puts Kubernetes' own types into the CRD, as a running API server describes them: `make crd-core-types`.

A CRD cannot refer to the schema of another type, and a field without a schema takes any typo in silence. So the
types are copied, each between two comments of the CRD:

    # generated: io.k8s.api.core.v1.Affinity
    # end of generated

The test of the CRD on a real API server compares the copies with what that server says.
"""

import json
import re
import tempfile
from pathlib import Path
from typing import Any

import yaml

from localcluster.controlplane import ControlPlane

CRD = Path(__file__).resolve().parents[1] / "crds" / "catfishmodels.yaml"
OPENAPI = "/openapi/v3/api/v1"
BLOCK = re.compile(r"^( *)# generated: (\S+)\n(.*?)^ *# end of generated\n", re.MULTILINE | re.DOTALL)
KEPT = (
    "type",
    "format",
    "enum",
    "required",
    "x-kubernetes-list-type",
    "x-kubernetes-list-map-keys",
    "x-kubernetes-map-type",
)
"""What is copied as it is. Not so defaults: that of a required string is the empty one, so nothing were required."""

Json = dict[str, Any]


def structural(name: str, schemas: Json) -> Json:
    """A type of the OpenAPI document with everything that it refers to in its place, as a CRD wants it."""
    return _inlined(schemas[name], schemas)


def _inlined(schema: Json, schemas: Json) -> Json:
    for reference in [schema, *schema.get("allOf", ())]:
        if "$ref" in reference:
            target = structural(reference["$ref"].rpartition("/")[2], schemas)
            return target | _description(schema) if "description" in schema else target
    copy = _description(schema) | {key: schema[key] for key in KEPT if key in schema}
    if "properties" in schema:
        copy["properties"] = {key: _inlined(value, schemas) for key, value in schema["properties"].items()}
    for below in ("items", "additionalProperties"):
        if below in schema:
            copy[below] = _inlined(schema[below], schemas)
    return copy


def _description(schema: Json) -> Json:
    """The first paragraph; the others speak of feature gates and repeat the enum."""
    text = " ".join(str(schema.get("description", "")).split("\n\n")[0].split())
    return {"description": text} if text else {}


def with_types(text: str, schemas: Json) -> str:
    """The text of a CRD with its copies made anew."""

    def block(found: re.Match[str]) -> str:
        margin, name = found.group(1), found.group(2)
        dumped = yaml.safe_dump(structural(name, schemas), sort_keys=False, allow_unicode=True, width=100)
        lines = [f"# generated: {name}", *dumped.splitlines(), "# end of generated"]
        return "".join(f"{margin}{line}\n" for line in lines)

    return BLOCK.sub(block, text)


def main() -> None:
    """Starts an API server, asks it, and writes the CRD."""
    with (
        tempfile.TemporaryDirectory(prefix="catfish-") as directory,
        ControlPlane.start_in(Path(directory)) as plane,
    ):
        schemas = json.loads(plane.kubectl("get", "--raw", OPENAPI))["components"]["schemas"]
    CRD.write_text(with_types(CRD.read_text(), schemas))


if __name__ == "__main__":
    main()
