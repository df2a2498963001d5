"""A sample of the twenty kinds of bad update on the whole cluster, under load; `make bench-rollout` tries all.

All models that the tests need are opened at once, before the first bad update, for that is mostly waiting.
"""

import base64
from concurrent.futures import ThreadPoolExecutor, wait

import pytest

from demo import model
from tests.bystander import REPLICAS, Bystander
from tests.cluster_fixtures import QUICK, looked_after, one_of_many
from tests.faults import disruptions, slow, world
from tests.faults.campaign import Campaign, Lane, opened
from tests.faults.kinds import BY_NAME

pytestmark = pytest.mark.e2e
RATE = 5.0
SLOWEST_SECONDS = 10.0
"""Of any request, on a machine where other models start."""

AWAY_SECONDS = 60.0


def lane(replicas, names, number=0):
    kinds = tuple(BY_NAME[name] for name in names)
    return Lane(system="catfish", replicas=replicas, kinds=kinds, number=number)


def assert_harmless(outcome, *, grace=0.0):
    """Nothing is to complain of, and the client that says so has asked all the while and was answered soon."""
    seen, load = outcome.sight, outcome.load
    assert outcome.complaints(grace=grace) == [], (seen, load.sentence())
    assert load.rate >= RATE / 2, load.sentence()
    assert load.slowest < SLOWEST_SECONDS, load.sentence()


SAMPLE = (
    lane(3, ["quota", "wrong checksum"]),
    lane(1, ["missing image", "ready then 5xx"], number=1),
    lane(1, ["crash at start", "wrong answers"], number=2),
)
KILLED = lane(1, ["wrong keys"], number=10)
AWAY = lane(1, ["crash at start"], number=11)


@pytest.fixture(scope="module")
def operators(broken_world, installation):
    """The namespace of the operator that looks after each lane's namespace."""
    names = [each.namespace for each in (*SAMPLE, KILLED, AWAY)]
    try:
        yield {name: looked_after(broken_world, installation, name) for name in names}
    finally:
        broken_world.run("delete", "namespace", *names, "--wait=false", "--ignore-not-found")


@pytest.fixture(scope="module")
def ready(broken_world, operators):  # noqa: ARG001 - somebody must be there to make the models
    """The models of all lanes, each of them on its way to be proven."""
    lanes = (*SAMPLE, KILLED, AWAY)
    with ThreadPoolExecutor(len(lanes)) as pool:
        yield {each.namespace: pool.submit(opened, broken_world, each) for each in lanes}


@pytest.fixture(scope="module")
def slow_download(broken_world, installation, bundle):
    """A good update whose download takes longer than the deadline, made beside the bad ones."""
    with (
        one_of_many(broken_world, installation, "faults-slow") as namespace,
        ThreadPoolExecutor(1) as pool,
    ):
        yield pool.submit(slow.update, broken_world, namespace, bundle)


@pytest.fixture(scope="module")
def logs():
    """What the operator had said when a lane's namespace went, by namespace."""
    return {}


@pytest.fixture(scope="module")
def keep_log(broken_world, operators, logs):
    """Keeps what the operator of a namespace has said, which may go with the namespace."""

    def keep(namespace):
        inside = ("--namespace", operators[namespace])
        logs[namespace] = broken_world.run("logs", "deployment/catfish-operator", *inside)

    return keep


@pytest.fixture(scope="module")
def outcomes(ready, slow_download, broken_world, bundle, keep_log):  # noqa: ARG001 - the download goes on meanwhile
    """All of the sample at once, for most of it is waiting."""
    wait(ready.values())  # a pod's start takes a processor, which a model that is tried would miss
    campaign = Campaign(
        kube=broken_world,
        rate=RATE,
        parallel=len(SAMPLE),
        closing=keep_log,
        suspicious=bundle,
        ready=ready,
    )
    return {outcome.kind.name: outcome for _, outcome in campaign.run(SAMPLE)}


@pytest.mark.parametrize("name", [kind.name for each in SAMPLE for kind in each.kinds])
def test_a_bad_update_is_noticed_explained_and_undone_and_harms_nobody(outcomes, name):
    assert_harmless(outcomes[name])


@pytest.mark.usefixtures("outcomes")
def test_the_operator_writes_no_secret_of_a_bad_update_into_its_log(logs):
    assert logs.keys() == {each.namespace for each in SAMPLE}
    for namespace, log in logs.items():
        assert namespace in log
        assert world.SECRET not in log
        assert base64.b64encode(world.SECRET.encode()).decode() not in log


def test_a_download_that_takes_longer_than_the_deadline_is_waited_for(slow_download):
    before, after = slow_download.result(timeout=600)
    assert after != before


def test_an_operator_killed_while_it_decides_ends_the_same_way(ready, broken_world, bundle, operators):
    home = operators[KILLED.namespace]
    kill = disruptions.OperatorKilledWhileItDecides(broken_world, home)
    there = []
    campaign = Campaign(
        kube=broken_world,
        rate=RATE,
        parallel=1,
        disturb=lambda: kill,
        grace=lambda: disruptions.OPERATOR_START_SECONDS,
        closing=lambda _: there.append(disruptions.operators(broken_world, home)),
        suspicious=bundle,
        ready=ready,
    )
    try:
        ((_, outcome),) = campaign.run([KILLED])
    finally:
        kill.close()
    assert (bool(kill.stopped), bool(kill.killed), kill.noticed) == (True, True, False), outcome.sight
    (now,) = there
    assert now
    assert not now & kill.killed
    assert_harmless(outcome, grace=disruptions.OPERATOR_START_SECONDS)


@pytest.fixture
def bystander(ready, broken_world, installation):  # noqa: ARG001 - after the models that were begun before
    """A model that is asked all the time and has nothing to do with the others."""
    with one_of_many(broken_world, installation, "faults-bystander") as namespace:
        broken_world.apply(model.manifest("catfish", namespace, replicas=REPLICAS, rollout=QUICK))
        model.proven(broken_world, "catfish", namespace)
        with Bystander(broken_world, namespace) as beside:
            yield beside


def test_an_api_server_that_is_away_leaves_all_serving_and_the_update_is_undone_when_it_is_back(
    ready, broken_world, bundle, bystander
):
    away = disruptions.ApiServerAway(AWAY_SECONDS, at_the_end=bystander.look)
    campaign = Campaign(
        kube=broken_world,
        rate=RATE,
        parallel=1,
        disturb=lambda: away,
        grace=lambda: away.unreachable + disruptions.OPERATOR_START_SECONDS,
        suspicious=bundle,
        ready=ready,
    )
    try:
        ((_, outcome),) = campaign.run([AWAY])
    finally:
        away.join()
    bystander.scale_down()
    assert away.seconds >= AWAY_SECONDS
    assert_harmless(outcome, grace=away.unreachable + disruptions.OPERATOR_START_SECONDS)
    bystander.assert_unharmed(seconds=AWAY_SECONDS)
