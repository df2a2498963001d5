"""What the operator asked of the local cluster's API server during this run of the tests."""

import json
from datetime import datetime

from tests.integration.audit import Audit

ROTATED = 2  # files that are kept beside the present one (--audit-log-maxbackup)


class AuditOfRun(Audit):
    """The audit log since a moment, over all the files that it was rotated to."""

    def __init__(self, path, *, user, since):
        self._path, self._user, self._since = path, user, since

    def covers_the_run(self):
        """Whether no file that could speak of this run is deleted already."""
        rotated = self._rotated()
        if len(rotated) < ROTATED:
            return True
        with rotated[0].open("rb") as oldest:
            return _moment(oldest.readline()) <= self._since

    def _lines(self):
        user = f'{self._user.rpartition("*")[2]}"'.encode()
        for path in (*self._rotated(), self._path):
            with path.open("rb") as log:
                yield from (line for line in log if user in line and self._is_of_the_run(line))

    def _is_of_the_run(self, line):
        return line.endswith(b"\n") and _moment(line) >= self._since

    def _rotated(self):
        """Oldest first: their names end in the time."""
        return sorted(self._path.parent.glob(f"{self._path.stem}-*{self._path.suffix}"))


def _moment(line):
    return datetime.fromisoformat(json.loads(line)["requestReceivedTimestamp"])
