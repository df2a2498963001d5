"""Events and metrics of the operator on a real API server: told once, with what to do, and gone with the model."""

from tests.integration.house import House
from tests.integration.kubelet import kubelet
from tests.integration.operator_process import EVENTS, MODELS, model, wait_for


def test_events_tell_what_happened_and_a_restart_repeats_none(start, api, namespace):
    operator = start().wait_ready()
    with kubelet(api, namespace) as nodes:
        house = House(api, namespace, nodes)
        house.create(model())
        house.settle()

        def told():
            return [
                (item["type"], item["reason"]) for item in api.items(EVENTS.format(namespace)) if ours(item)
            ]

        wait_for(lambda: ("Normal", "RolloutCompleted") in told(), what="the Event of the rollout")
        before = sorted(told())
        assert {kind for kind, _ in before} == {"Normal"}
        assert ("Normal", "RolloutStarted") in before
        assert len(set(before)) == len(before)
        operator.terminate()
        again = start(CATFISH_RESYNC_SECONDS="2").wait_ready()
        wait_for(
            lambda: again.metrics().get('catfish_reconciles_total{result="done"}', 0) >= 2, what="some looks"
        )
        assert sorted(told()) == before
        assert again.metrics().get('catfish_events_total{result="posted"}', 0) == 0


def ours(event):
    return event.get("reportingController") == "catfish.dev/operator"


def test_a_deleted_models_gauges_go(house, operator):
    gauge = f'catfish_model_ready{{name="cat",namespace="{house.namespace}"}}'
    house.create(model())
    house.settle()
    wait_for(lambda: operator.metrics().get(gauge) == 1, what="the gauge")
    house.api.delete(house.path(MODELS, "cat"))
    wait_for(lambda: gauge not in operator.metrics(), what="no gauge")


def test_drift_that_is_repaired_is_told_with_the_command_to_use(house, kubectl):
    house.create(model())
    house.settle()
    kubectl("-n", house.namespace, "rollout", "restart", "deployment/cat")
    (event,) = wait_for(
        lambda: [item for item in house.api.items(house.path(EVENTS)) if item["reason"] == "DriftRepaired"],
        what="the Event",
    )
    assert event["type"] == "Warning"
    assert "kubectl catfish restart cat" in event["note"]
    assert (event["regarding"]["kind"], event["regarding"]["name"]) == ("CatfishModel", "cat")
