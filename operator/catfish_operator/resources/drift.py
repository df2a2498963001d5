"""What of a live object is not as we want it. Read by `plan`.

Three questions, because server-side apply mends the first two and cannot mend the third: is a field of ours
missing or different; do we still own a field that we no longer want; did somebody add to the pod template?
"""

import json
from typing import Any

from catfish_operator.model import Json
from catfish_operator.resources import quantity
from catfish_operator.resources.metadata import MANAGER

MERGE_KEYS = {
    "containers": ("name",),
    "env": ("name",),
    "imagePullSecrets": ("name",),
    "ownerReferences": ("uid",),
    "topologySpreadConstraints": ("topologyKey", "whenUnsatisfiable"),
    "volumeMounts": ("mountPath",),
    "volumes": ("name",),
}
"""Lists whose items are told apart by keys (`x-kubernetes-list-map-keys`); all others are compared whole."""

PORTS = ("containerPort", "port")
OMITTED = ("paused", "minReadySeconds")
"""Fields that the API server leaves out when they are false or 0."""

QUANTITIES = ("requests", "limits", "sizeLimit")


def differs(wanted: Any, live: Any, name: str = "") -> bool:  # noqa: ANN401 - any JSON
    """Says whether a field of `wanted` is missing or different in `live`, which may have more."""
    if not live and (wanted in ("", {}, []) or (name in OMITTED and not wanted)):
        return False
    if isinstance(wanted, dict):
        if not isinstance(live, dict):
            return True
        inner = name if name in QUANTITIES else ""
        return any(differs(value, live.get(key), inner or key) for key, value in wanted.items())
    if isinstance(wanted, list):
        return _list_differs(wanted, live, name)
    if name in QUANTITIES:
        return not quantity.same(wanted, live)
    return bool(wanted != live)


def _list_differs(wanted: list[Any], live: Any, name: str) -> bool:  # noqa: ANN401 - any JSON
    if not isinstance(live, list):
        return True
    keys = _merge_keys(name, wanted)
    if not keys:
        pairs = zip(wanted, live, strict=False)
        return len(wanted) != len(live) or any(differs(one, other) for one, other in pairs)
    by_key = {_key(item, keys): item for item in live}
    return any(differs(item, by_key.get(_key(item, keys))) for item in wanted)


def _merge_keys(name: str, items: list[Any]) -> tuple[str, ...]:
    if name == "ports":
        return next(((key,) for key in PORTS if items and key in items[0]), ())
    return MERGE_KEYS.get(name, ())


def _key(item: Json, keys: tuple[str, ...]) -> tuple[Any, ...]:
    return tuple(item.get(key) for key in keys)


def abandoned(wanted: Json, live: Json) -> bool:
    """Says whether we own a field of the live object, by an earlier apply, that we do not want any more."""
    return any(
        _reaches_beyond(entry.get("fieldsV1") or {}, wanted)
        for entry in _managers(live)
        if entry.get("manager") == MANAGER and entry.get("operation") == "Apply"
    )


def template_extended(template: Json, live: Json) -> bool:
    """Says whether somebody else added to a Deployment's pod template what the wanted one does not have.

    Additions are told from the API server's defaults by their owner in managedFields. An addition under our
    own name was made by admission while we wrote; it would be made again, so it is left alone.
    """
    for entry in _managers(live):
        fields = _template_fields(entry)
        if fields and entry.get("manager") != MANAGER and _reaches_beyond(fields, template):
            return True
    return not _patched_by_us(live) and _has_more_items(template, live["spec"]["template"])


def ports_extended(ports: list[Json], live: Json) -> bool:
    """Says whether a Service has ports that are not wanted: apply cannot rename a port."""
    kept = {(port["port"], port["protocol"]) for port in ports}
    found = live["spec"].get("ports") or []
    return any((port["port"], port.get("protocol", "TCP")) not in kept for port in found)


def template_must_be_replaced(template: Json, live: Json) -> bool:
    """Says whether a change by apply would leave fields behind.

    Those that we once wrote by a patch; and a service account, which the API server also keeps under an older
    name (`serviceAccount`) that nobody owns, and from which it would come back.
    """
    found = live["spec"]["template"]
    if found["spec"].get("serviceAccountName") and "serviceAccountName" not in template["spec"]:
        return True
    return _patched_by_us(live) and differs(template, found)


def _patched_by_us(live: Json) -> bool:
    return any(
        entry.get("manager") == MANAGER and entry.get("operation") == "Update" and _template_fields(entry)
        for entry in _managers(live)
    )


def _managers(live: Json) -> list[Json]:
    return [entry for entry in live["metadata"].get("managedFields") or [] if not entry.get("subresource")]


def _template_fields(entry: Json) -> Json:
    fields: Json = ((entry.get("fieldsV1") or {}).get("f:spec") or {}).get("f:template") or {}
    return fields


def _has_more_items(wanted: Any, live: Any, name: str = "") -> bool:  # noqa: ANN401 - any JSON
    """Says whether a list has items that are not wanted; defaulting never adds any."""
    if isinstance(wanted, dict) and isinstance(live, dict):
        return any(_has_more_items(value, live.get(key), key) for key, value in wanted.items())
    if not isinstance(wanted, list) or not isinstance(live, list):
        return False
    keys = _merge_keys(name, wanted)
    if not keys:
        return False
    by_key = {_key(item, keys): item for item in wanted}
    found = [(by_key.get(_key(item, keys)), item) for item in live]
    return any(one is None or _has_more_items(one, other) for one, other in found)


def _reaches_beyond(fields: Json, value: Any) -> bool:  # noqa: ANN401 - any JSON
    """Says whether a set of fields (FieldsV1) names one that `value` does not have.

    The keys: `f:name` a field, `k:{…}` a list item by its keys, `v:…` one by its value, `.` the thing itself.
    """
    for path, below in fields.items():
        kind, _, rest = path.partition(":")
        if kind == "f":
            found = isinstance(value, dict) and rest in value
            inner = value[rest] if found else None
        elif kind == "k":
            inner = _item(value, json.loads(rest))
            found = inner is not None
        elif kind == "v":
            inner, found = None, isinstance(value, list) and json.loads(rest) in value
        else:
            continue
        if not found or (below and _reaches_beyond(below, inner)):
            return True
    return False


def _item(items: Any, keys: Json) -> Any:  # noqa: ANN401 - any JSON
    if not isinstance(items, list):
        return None
    defaults = {"protocol": "TCP"}  # a key that may be left out (ports)
    return next(
        (item for item in items if all((defaults | item).get(key) == value for key, value in keys.items())),
        None,
    )
