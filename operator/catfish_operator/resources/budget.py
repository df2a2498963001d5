"""The PodDisruptionBudget of a model with more than one pod."""

from catfish_operator.model import CatfishModel, Json
from catfish_operator.resources.metadata import metadata, selector

API_VERSION, KIND = "policy/v1", "PodDisruptionBudget"


def budget(model: CatfishModel) -> Json:
    """The budget: one pod at a time. Pods that are not Ready never hold up a drain."""
    return {
        "apiVersion": API_VERSION,
        "kind": KIND,
        "metadata": metadata(model),
        "spec": {
            "maxUnavailable": 1,
            "selector": {"matchLabels": selector(model.name)},
            "unhealthyPodEvictionPolicy": "AlwaysAllow",
        },
    }
