"""The CatfishModel: raw JSON ends here, everything after it uses these types.

The CRD has checked a body before we see one. What is checked here again is what the operator relies on, for
objects that were stored under another schema. The defaults are those of the CRD (a test holds them equal).
"""

from catfish_operator.model.names import (
    API_VERSION,
    GROUP,
    KIND,
    NAME,
    PLURAL,
    RESTARTED_AT,
    RETRY,
    VERSION,
    Json,
)
from catfish_operator.model.parts import (
    Autoscaling,
    Canary,
    Disruption,
    Exposure,
    Monitoring,
    Network,
    Prediction,
    PredictionLog,
    Rollout,
    Verification,
    Weights,
)
from catfish_operator.model.resource import CatfishModel

__all__ = [
    "API_VERSION",
    "GROUP",
    "KIND",
    "NAME",
    "PLURAL",
    "RESTARTED_AT",
    "RETRY",
    "VERSION",
    "Autoscaling",
    "Canary",
    "CatfishModel",
    "Disruption",
    "Exposure",
    "Json",
    "Monitoring",
    "Network",
    "Prediction",
    "PredictionLog",
    "Rollout",
    "Verification",
    "Weights",
]
