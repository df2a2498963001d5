"""What the resource is called in the API, and the annotations of a model that the operator obeys."""

import re
from typing import Any

Json = dict[str, Any]
"""A Kubernetes object, or a part of one, as it came."""

GROUP = "catfish.dev"
VERSION = "v1alpha1"
API_VERSION = f"{GROUP}/{VERSION}"
KIND = "CatfishModel"
PLURAL = "catfishmodels"

NAME = re.compile(r"[a-z]([-a-z0-9]{0,50}[a-z0-9])?")
"""A DNS label that starts with a letter, as a Service's must (RFC 1035); 63 less `-` and a hash of 10."""

RESTARTED_AT = f"{GROUP}/restartedAt"
"""Any new value makes a new revision of the same spec: its pods are replaced."""
RETRY = f"{GROUP}/retry"
"""Any new value tries a revision again that has failed."""
