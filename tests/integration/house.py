"""A namespace that the operator looks after and whose pods come up: what its tests look at."""

import itertools
import json
import threading
from contextlib import contextmanager

from tests.integration.operator_process import (
    BUDGETS,
    DEPLOYMENTS,
    MODELS,
    REVISIONS,
    SERVICES,
    settled,
    wait_for,
)

RESYNC_SECONDS = 3  # so that a quiet window of 10 s holds several resyncs
CHILDREN = (DEPLOYMENTS, SERVICES, BUDGETS, REVISIONS)


class House:
    def __init__(self, api, namespace, nodes):
        self.api, self.namespace, self.nodes = api, namespace, nodes

    def path(self, kind, name=""):
        return kind.format(self.namespace) + (f"/{name}" if name else "")

    def get(self, kind, name="cat"):
        return self.api.get(self.path(kind, name))

    def create(self, body):
        return self.api.create(self.path(MODELS), body)

    def merge(self, kind, body, name="cat"):
        return self.api.merge(self.path(kind, name), body)

    def settle(self, name="cat", *, seconds=30):
        def look():
            body = self.get(MODELS, name)
            return body if settled(body) else None

        try:
            return wait_for(look, seconds=seconds, what=f"{name} is up to date")
        except AssertionError:
            found = self.get(MODELS, name)
            raise AssertionError(json.dumps((found or {}).get("status"), indent=1)) from None

    def revisions(self, name="cat"):
        return self.api.items(self.path(REVISIONS), f"catfish.dev/model={name}")


@contextmanager
def changing(change, *, every):
    """Calls `change(1)`, `change(2)` and so on beside a block; what one of them raises ends both.

    Args:
        change: what is done each time.
        every: seconds between two.
    """
    ended, failed = threading.Event(), []

    def go_on():
        for number in itertools.count(1):
            if ended.wait(every):
                return
            try:
                change(number)
            except Exception as error:  # noqa: BLE001 - raised below, in the thread of the test
                failed.append(error)
                return

    thread = threading.Thread(target=go_on, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join(30)
    assert not thread.is_alive()
    if failed:
        raise failed[0]


def core(item):
    """What makes an object what it is, without what counts its changes."""
    metadata = {name: item["metadata"].get(name) for name in ("labels", "ownerReferences")}
    return metadata, item["spec"]
