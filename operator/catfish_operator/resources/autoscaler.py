"""The HorizontalPodAutoscaler of a model that asks for one."""

from catfish_operator.model import Autoscaling, CatfishModel, Json
from catfish_operator.resources import deployment
from catfish_operator.resources.metadata import metadata

API_VERSION, KIND = "autoscaling/v2", "HorizontalPodAutoscaler"


def autoscaler(model: CatfishModel, wanted: Autoscaling) -> Json:
    """The autoscaler of the Deployment; Kubernetes' own behaviour decides how fast it goes up and down."""
    target = {"type": "Utilization", "averageUtilization": wanted.target_cpu}
    return {
        "apiVersion": API_VERSION,
        "kind": KIND,
        "metadata": metadata(model),
        "spec": {
            "scaleTargetRef": {
                "apiVersion": deployment.API_VERSION,
                "kind": deployment.KIND,
                "name": model.name,
            },
            "minReplicas": wanted.min_replicas,
            "maxReplicas": wanted.max_replicas,
            "metrics": [{"type": "Resource", "resource": {"name": "cpu", "target": target}}],
        },
    }
