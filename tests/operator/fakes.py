"""An API server in memory, as far as the engine's Protocol `Cluster` goes."""

import copy
import itertools

from catfish_operator import errors
from catfish_operator.cluster import Listing, kind_of


class FakeCluster:
    """Keeps objects and a log of calls; `trouble` holds errors for the next calls of a (method, kind)."""

    def __init__(self):
        self.objects = {}
        self.calls = []
        self.trouble = {}
        self.after_apply = lambda _: None
        self._versions = itertools.count(100)
        self.served_kinds = True

    def put(self, item):
        """Writes an object as somebody else would."""
        metadata = item["metadata"]
        metadata.setdefault("uid", f"uid-{next(self._versions)}")
        metadata["resourceVersion"] = str(next(self._versions))
        self.objects[item["kind"], metadata["namespace"], metadata["name"]] = item
        return copy.deepcopy(item)

    def writes(self):
        return [call for call in self.calls if call[0] not in ("get", "list_all", "served")]

    def _called(self, method, kind, namespace="", name=""):
        self.calls.append((method, kind.kind, name))
        waiting = self.trouble.get((method, kind.kind))
        if waiting:
            raise waiting.pop(0)
        return self.objects.get((kind.kind, namespace, name))

    async def served(self, kind):
        self._called("served", kind)
        return self.served_kinds

    async def list_all(self, kind, *, namespace):
        self._called("list_all", kind)
        items = [
            copy.deepcopy(item)
            for (known, where, _), item in self.objects.items()
            if known == kind.kind and namespace in ("", where)
        ]
        return Listing(items=items, resource_version=next(self._versions))

    async def get(self, kind, *, namespace, name):
        return copy.deepcopy(self._called("get", kind, namespace, name))

    async def apply(self, manifest, *, uid):
        metadata = manifest["metadata"]
        live = self._called(
            "apply",
            kind_of(manifest["apiVersion"], manifest["kind"]),
            metadata["namespace"],
            metadata["name"],
        )
        if (live or {"metadata": {"uid": None}})["metadata"]["uid"] != uid:
            raise errors.Stale("another object")
        item = _merge(live or {}, manifest)
        self.after_apply(item)
        return self.put(item)

    async def patch_json(self, kind, *, namespace, name, operations):
        live = self._called("patch_json", kind, namespace, name)
        for operation in operations:
            *parents, last = operation["path"].strip("/").split("/")
            at = live
            for parent in parents:
                at = at[parent]
            if operation["op"] == "test" and at[last] != operation["value"]:
                raise errors.Stale("testing value failed")
            if operation["op"] == "add":
                at[last] = operation["value"]
        return self.put(live)

    async def delete(self, kind, *, namespace, name, uid, resource_version):
        live = self._called("delete", kind, namespace, name)
        if live is None or live["metadata"]["uid"] != uid:
            raise errors.Stale("another object")
        if resource_version not in (None, live["metadata"]["resourceVersion"]):
            raise errors.Stale("it has changed")
        del self.objects[kind.kind, namespace, name]

    async def patch_status(self, body, *, status):
        metadata = body["metadata"]
        live = self._called(
            "patch_status", kind_of(body["apiVersion"], body["kind"]), metadata["namespace"], metadata["name"]
        )
        if live is None or live["metadata"]["resourceVersion"] != metadata["resourceVersion"]:
            raise errors.Stale("it has changed")
        return self.put({**live, "status": copy.deepcopy(status)})


class NoReadings:
    """Pods that tell nothing, as those without an address."""

    def latest(self, _):
        return {}

    def ask(self, key, pods_of_model, *, again):
        pass

    def forget(self, key):
        pass


def _merge(live, wanted):
    merged = copy.deepcopy(live)
    for name, value in wanted.items():
        merged[name] = (
            _merge(merged.get(name, {}), value) if isinstance(value, dict) else copy.deepcopy(value)
        )
    return merged
