"""What kstatus, by which Flux, Helm and kpt wait, makes of a model's status: the library itself is asked."""

import copy
import json
import subprocess
from pathlib import Path

import pytest

from localcluster import build
from tests.operator.plugin.statuses import MODELS, named
from tests.operator.rollouts.scenes import first, updated
from tests.operator.test_rollout import container, ended, report
from tests.operator.world import World, body

pytestmark = pytest.mark.integration  # compiles a Go module, once

MODULE = Path(__file__).parent
SAYS = {
    "creating": "InProgress",
    "changed": "InProgress",
    "rolling": "InProgress",
    "canary": "InProgress",
    "baking": "InProgress",
    "settled": "Current",
    "rolled back": "Failed",
    "retry pending": "Failed",
    "first stalled": "Failed",
    "paused": "InProgress",
    "deleted": "Terminating",
    "unseen": "InProgress",
    # What cannot be had from it: it takes a Ready that is False for something that will come.
    "scaled to zero": "InProgress",
}


@pytest.fixture(scope="session")
def kstatus():
    """A function from an object to what kstatus says: its word and its message."""
    folder = build.cache() / "bin" / f"kstatus-{build.digest(MODULE)}"

    def make(target):
        build.compile_into(
            target, module=MODULE, ldflags="-s -w", packages=["."], title="kstatus", report=print
        )

    program = build.once(folder, make) / "kstatus"

    def ask(item):
        done = subprocess.run(
            [program], input=json.dumps(item), capture_output=True, text=True, check=False, timeout=30
        )
        assert done.returncode == 0, done.stderr
        word, _, message = done.stdout.strip().partition(" ")
        return word, message

    return ask


def test_there_is_an_answer_for_every_state():
    assert set(SAYS) == set(MODELS)


@pytest.mark.parametrize("state", MODELS)
def test_kstatus_tells_the_state(kstatus, state):
    assert kstatus(named(state))[0] == SAYS[state]


def test_what_failed_is_told_with_the_message_of_the_condition(kstatus):
    assert kstatus(named("rolled back"))[1].startswith("The weights do not hash to spec.weights.sha256")


def test_a_status_that_speaks_of_an_earlier_spec_is_never_current(kstatus):
    for state in MODELS.keys() - {"unseen", "deleted"}:
        model = named(state)
        model["metadata"]["generation"] = 9
        assert kstatus(model)[0] == "InProgress"


def test_the_operators_own_status_is_told_from_the_creation_to_a_rollback(kstatus):
    world, told = World(body(replicas=3)), {}

    def look(state):
        item = copy.deepcopy(world.model) | {"status": world.status()}
        told[state] = kstatus(item)[0]

    look("created")
    world.settle()
    look("rolling out")
    world.roll_out()
    world.settle()
    look("baking")
    world.prove()
    look("proven")
    world = updated()
    look("canary")
    bad = container(ended(report()))
    first(world, ready=False, containerStatuses=[bad])
    world.settle()
    look("rolled back")
    assert told == {
        "created": "InProgress",
        "rolling out": "InProgress",
        "baking": "InProgress",
        "proven": "Current",
        "canary": "InProgress",
        "rolled back": "Failed",
    }
