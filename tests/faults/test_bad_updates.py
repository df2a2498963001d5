"""A sample of the twenty kinds of bad update on the whole cluster, under load; `make bench-rollout` tries all."""

import pytest

from demo import model
from demo.kube import wait_for
from tests.faults import disruptions
from tests.faults.campaign import Campaign, Lane
from tests.faults.kinds import BY_NAME, FAULTY_STORE

pytestmark = pytest.mark.e2e
SIDE_BY_SIDE = pytest.mark.cluster_wide(
    reason="bad updates are tried side by side, each in a namespace of its own"
)
RATE = 5.0
SAMPLE = (
    (3, ("quota", "wrong checksum")),
    (1, ("missing image", "ready then 5xx")),
    (1, ("crash at start", "wrong answers")),
)
AWAY_SECONDS = 60.0
OPERATOR_START_SECONDS = 20.0
"""A new pod of the operator, and the lease of the one that was killed running out."""


def lane(replicas, names, number=0):
    kinds = tuple(BY_NAME[name] for name in names)
    return Lane(system="catfish", replicas=replicas, kinds=kinds, number=number)


@pytest.fixture(scope="module")
def outcomes(broken_world, bundle):
    """All of the sample at once, for most of it is waiting."""
    wanted = [lane(replicas, names, number) for number, (replicas, names) in enumerate(SAMPLE)]
    campaign = Campaign(kube=broken_world, rate=RATE, parallel=len(wanted), suspicious=bundle)
    return {outcome.kind.name: outcome for _, outcome in campaign.run(wanted)}


@SIDE_BY_SIDE
@pytest.mark.parametrize("name", [name for _, names in SAMPLE for name in names])
def test_a_bad_update_is_noticed_explained_and_undone_and_harms_nobody(outcomes, name):
    outcome = outcomes[name]
    assert outcome.complaints() == [], (outcome.sight, outcome.load.sentence())
    assert outcome.load.total > 50


@SIDE_BY_SIDE
def test_an_operator_killed_while_it_decides_ends_the_same_way(broken_world, bundle):
    kill = disruptions.when_reported(lambda: disruptions.kill_operator(broken_world))
    campaign = Campaign(
        kube=broken_world,
        rate=RATE,
        parallel=1,
        disturb=lambda: kill,
        grace=OPERATOR_START_SECONDS,
        suspicious=bundle,
    )
    ((_, outcome),) = campaign.run([lane(1, ["wrong keys"], number=10)])
    assert outcome.complaints(grace=OPERATOR_START_SECONDS) == [], (outcome.sight, outcome.load.sentence())


@SIDE_BY_SIDE
def test_an_api_server_that_is_away_leaves_v1_whole_and_the_update_is_undone_when_it_is_back(
    broken_world, bundle
):
    away = disruptions.ApiServerAway(AWAY_SECONDS)
    campaign = Campaign(
        kube=broken_world,
        rate=RATE,
        parallel=1,
        disturb=lambda: away,
        grace=AWAY_SECONDS + OPERATOR_START_SECONDS,
        suspicious=bundle,
    )
    try:
        ((_, outcome),) = campaign.run([lane(1, ["crash at start"], number=11)])
    finally:
        away.join()
    complaints = outcome.complaints(grace=AWAY_SECONDS + OPERATOR_START_SECONDS)
    assert complaints == [], (outcome.sight, outcome.load.sentence())


@pytest.mark.usefixtures("broken_world")
def test_a_download_that_takes_longer_than_the_deadline_is_waited_for(kube, namespace, applied):
    times = {"minReadySeconds": 1, "progressDeadlineSeconds": 20, "canary": {"seconds": 0}, "bakeSeconds": 1}
    before = applied(replicas=1, rollout=times)["status"]["targetRevision"]
    model.proven(kube, "catfish", namespace)
    slow = f"{FAULTY_STORE}/slow/1000000/models/catfish-v2.pt"  # three quarters of a minute
    kube.patch("catfish", {"weights": {"url": slow}}, namespace)

    def settled():
        found = model.current(kube, "catfish", namespace)
        failed = found is not None and found["status"].get("failedRevisions")
        assert not failed, failed
        return found if found and model.condition(found, "UpToDate").get("status") == "True" else None

    after = wait_for("the slow download to end", settled, seconds=150)
    assert after["status"]["targetRevision"] != before
