"""What all objects of a model have in common: labels, owner, and whose an object is."""

from typing import Literal

from catfish_operator.model import API_VERSION, GROUP, KIND, CatfishModel, Json

MANAGER = "catfish-operator"
MODEL_LABEL = f"{GROUP}/model"
REVISION_LABEL = f"{GROUP}/revision"

Claim = Literal["ours", "adoptable", "leaving", "foreign"]
"""Whose an object is: `leaving` = being deleted, or about to be with an earlier model of the name."""


def selector(name: str) -> dict[str, str]:
    """The two labels that select a model's pods; never more, a Deployment's selector cannot be changed."""
    return {"app.kubernetes.io/name": "catfish-model", "app.kubernetes.io/instance": name}


def labels(name: str) -> dict[str, str]:
    """The labels of everything that belongs to a model."""
    return selector(name) | {"app.kubernetes.io/managed-by": MANAGER, MODEL_LABEL: name}


def metadata(model: CatfishModel, name: str | None = None) -> Json:
    """The metadata of an object of the model, named like it if no name is given.

    The owner reference has no blockOwnerDeletion: deleting a model never waits for its children.
    """
    owner = {
        "apiVersion": API_VERSION,
        "kind": KIND,
        "name": model.name,
        "uid": model.uid,
        "controller": True,
    }
    return {
        "name": name or model.name,
        "namespace": model.namespace,
        "labels": labels(model.name),
        "ownerReferences": [owner],
    }


def claim(model: CatfishModel, live: Json) -> Claim:
    """Says whose a live object is."""
    references = live["metadata"].get("ownerReferences") or []
    owner = next((reference for reference in references if reference.get("controller")), None)
    if owner is None:
        found = live["metadata"].get("labels") or {}
        whose: Claim = "adoptable" if labels(model.name).items() <= found.items() else "foreign"
    elif owner["uid"] == model.uid:
        whose = "ours"
    elif (owner["kind"], owner["name"]) == (KIND, model.name) and owner["apiVersion"].startswith(f"{GROUP}/"):
        return "leaving"
    else:
        whose = "foreign"
    return "leaving" if whose != "foreign" and "deletionTimestamp" in live["metadata"] else whose
