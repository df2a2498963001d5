"""When one look at a model writes its status, and of what; `test_reconcile` has what comes before that."""

import pytest

from catfish_operator import status
from catfish_operator.actions import Apply
from tests.operator.small_plan import World, child


@pytest.fixture
def world(monkeypatch):
    return World(monkeypatch)


def test_what_is_said_is_of_the_look_that_left_nothing_to_do(world, monkeypatch):
    """The time for the next action may come between two looks: it is not told of as long as it is not done."""
    planned, said = [(), (Apply(manifest=child()),), ()], []
    world.plan = lambda _: planned.pop(0)
    monkeypatch.setattr(status, "status", lambda _, plan, **__: said.append(plan.actions) or {"message": "x"})
    world.reconcile()
    assert said == [()]


def ready(number, *, condition="False"):
    """A status that says how many pods are ready."""
    conditions = [
        {"type": "Ready", "status": condition, "reason": "PodsStarting", "message": f"{number} are"}
    ]
    return {"message": f"{number} are ready", "readyReplicas": number, "conditions": conditions}


def test_how_far_the_same_thing_is_is_said_once_a_second_and_never_forgotten(world, monkeypatch):
    for clock, said, written, again in (
        (0.0, ready(0), ready(0), None),
        (0.2, ready(1), ready(0), 0.8),
        (0.5, ready(2), ready(0), 0.5),
        (1.0, ready(2), ready(2), None),
        (1.5, ready(2), ready(2), None),
        (1.75, ready(3), ready(2), 0.25),
    ):
        monkeypatch.setattr(status, "status", lambda *_, said=said, **__: said)
        world.clock = clock
        assert (world.reconcile(), world.status) == (pytest.approx(again) if again else None, written)


def test_a_condition_that_turns_is_said_at_once(world, monkeypatch):
    for clock, said in ((0.0, ready(0)), (0.1, ready(1, condition="True")), (0.2, ready(0))):
        monkeypatch.setattr(status, "status", lambda *_, said=said, **__: said)
        world.clock = clock
        assert (world.reconcile(), world.status) == (None, said)


def test_what_is_still_to_be_said_does_not_put_off_the_next_look(world, monkeypatch):
    world.requeue_after = 0.3
    for clock, number, again in ((0.0, 0, 0.3), (0.2, 1, 0.3), (0.8, 1, 0.2)):
        monkeypatch.setattr(status, "status", lambda *_, number=number, **__: ready(number))
        world.clock = clock
        assert world.reconcile() == pytest.approx(again)
