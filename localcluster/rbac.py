"""Rights for the cluster's own helpers, each of which is a user with a certificate."""

from collections.abc import Mapping, Sequence
from typing import Any

_API = "rbac.authorization.k8s.io"
_READ = ("get", "list", "watch")


def rule(group: str, resources: Sequence[str], verbs: Sequence[str] = _READ) -> dict[str, list[str]]:
    """Returns one rule; without verbs it allows reading."""
    return {"apiGroups": [group], "resources": list(resources), "verbs": list(verbs)}


def role(user: str, rules: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Returns a ClusterRole of the user's own, and what binds it to the user."""
    return [
        {
            "apiVersion": f"{_API}/v1",
            "kind": "ClusterRole",
            "metadata": {"name": user},
            "rules": [dict(rule) for rule in rules],
        },
        {
            "apiVersion": f"{_API}/v1",
            "kind": "ClusterRoleBinding",
            "metadata": {"name": user},
            "roleRef": {"apiGroup": _API, "kind": "ClusterRole", "name": user},
            "subjects": [{"apiGroup": _API, "kind": "User", "name": user}],
        },
    ]
