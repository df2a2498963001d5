"""The ServiceMonitor that has Prometheus' operator collect the pods' metrics.

The admin port is not on the Service, which is for callers, so this one selects by name: `targetPort` is looked up in
the pods behind the Service.
"""

from catfish_operator.model import CatfishModel, Json
from catfish_operator.resources.metadata import MODEL_LABEL, metadata, selector

API_VERSION, KIND = "monitoring.coreos.com/v1", "ServiceMonitor"
INTERVAL = "15s"


def monitor(model: CatfishModel) -> Json:
    """The ServiceMonitor: `/metrics` of the admin port of every pod."""
    return {
        "apiVersion": API_VERSION,
        "kind": KIND,
        "metadata": metadata(model),
        "spec": {
            "selector": {"matchLabels": selector(model.name)},
            "targetLabels": [MODEL_LABEL],
            "endpoints": [{"targetPort": "admin", "path": "/metrics", "interval": INTERVAL}],
        },
    }


def missing(model: CatfishModel, served: frozenset[str]) -> str | None:
    """The sentence for a model that asks for what this cluster does not know; None if there is nothing to say."""
    if not model.monitoring.service_monitor or KIND in served:
        return None
    return f"There is no {KIND}: this cluster does not know {API_VERSION} (spec.monitoring.serviceMonitor)."
