"""The PodDisruptionBudget of a model with more than one pod."""

from catfish_operator.model import CatfishModel, Json
from catfish_operator.resources.metadata import metadata, selector

API_VERSION, KIND = "policy/v1", "PodDisruptionBudget"


def budget(model: CatfishModel) -> Json:
    """The budget. Pods that are not Ready never hold up a drain."""
    return {
        "apiVersion": API_VERSION,
        "kind": KIND,
        "metadata": metadata(model),
        "spec": {
            "maxUnavailable": model.disruption.max_unavailable,
            "selector": {"matchLabels": selector(model.name)},
            "unhealthyPodEvictionPolicy": "AlwaysAllow",
        },
    }


def wanted(model: CatfishModel, *, replicas: int) -> bool:
    """Says whether a model has a budget: one that has, or may be given, more than one pod.

    Args:
        model: the model.
        replicas: how many pods there should be now.
    """
    return max(replicas, model.autoscaling.max_replicas if model.autoscaling else 0) > 1
