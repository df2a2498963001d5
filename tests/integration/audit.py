"""The API server's audit log: what the operator asked of it."""

import json
import os
from collections import Counter
from fnmatch import fnmatchcase
from pathlib import Path

from tests.integration.operator_process import OPERATOR

WRITES = ("create", "update", "patch", "delete", "deletecollection")


class Audit:
    """What the API server's audit log says about the operator since a moment; `*` in a user stands for any text."""

    def __init__(self, path, *, user=OPERATOR):
        self._path, self._user = Path(path), user
        now = self._path.stat()
        self._from, self._file = now.st_size, now.st_ino

    def entries(self, stage="ResponseComplete"):
        """The operator's requests; a watch is `ResponseStarted` for as long as it lasts."""
        parsed = (json.loads(line) for line in self._lines() if line.endswith(b"\n"))
        return [
            entry
            for entry in parsed
            if fnmatchcase(entry["user"]["username"], self._user) and entry["stage"] == stage
        ]

    def _lines(self):
        with self._path.open("rb") as log:
            now = os.fstat(log.fileno())
            # nothing read would be nothing written, nothing forbidden, no conflict
            assert (now.st_ino, now.st_size >= self._from) == (self._file, True), f"{self._path} was rotated"
            log.seek(self._from)
            return log.read().splitlines(keepends=True)

    def writes(self, namespace=None):
        """Those that write (to a namespace), as `verb resource[/subresource] namespace/name`.

        Without Events and the Lease, which are not about what a model is and come in their own time.
        """
        return [
            _what(entry)
            for entry in self.entries()
            if entry["verb"] in WRITES
            and entry["objectRef"]["resource"] not in {"events", "leases"}
            and namespace in {None, entry["objectRef"].get("namespace")}
        ]

    def forbidden(self):
        """The requests that RBAC refused; a quota, or a namespace that is going, refuses with a 403 as well."""
        decision = "authorization.k8s.io/decision"
        return [
            entry["requestURI"]
            for entry in self.entries()
            if entry.get("annotations", {}).get(decision) == "forbid"
        ]

    def deletes_without_a_uid(self):
        """The deletes that would also take an object made anew under the same name."""
        return [
            _what(entry)
            for entry in self.entries()
            if entry["verb"] in {"delete", "deletecollection"}
            and not entry.get("requestObject", {}).get("preconditions", {}).get("uid")
        ]

    def requests(self):
        """How many there were of each verb."""
        return Counter(entry["verb"] for entry in self.entries())

    def by_resource(self):
        """How many there were of each verb and resource, as `verb resource[/subresource]`."""
        return Counter(_what(entry).rpartition(" ")[0] for entry in self.entries() if "objectRef" in entry)


def _what(entry):
    ref = entry["objectRef"]
    below = f"/{ref['subresource']}" if "subresource" in ref else ""
    return f"{entry['verb']} {ref['resource']}{below} {ref.get('namespace')}/{ref.get('name')}"
