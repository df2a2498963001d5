"""Revisions: what shaped a model's pods, kept as ControllerRevisions (apps/v1) that the model owns.

A revision is named by a hash of the spec fields that shape pods. It holds the pod template that was rendered
when it was first seen, and that template is what runs: an operator that renders differently restarts no pods.
"""

import dataclasses
import hashlib
import json
from typing import Any

from catfish_operator.model import CatfishModel, Json, Prediction, PredictionLog, Verification
from catfish_operator.resources import quantity, record
from catfish_operator.resources.metadata import metadata
from catfish_operator.resources.record import Record

API_VERSION, KIND = "apps/v1", "ControllerRevision"


def inputs(model: CatfishModel) -> Json:
    """What shapes pods: that part of the spec and, as `restartedAt`, the annotation that asks for new ones.

    Defaults are left out, so that a new field changes no hash.
    """
    network, weights, prediction = model.network, model.weights, model.prediction
    spec = {
        "image": model.image,
        "imagePullPolicy": model.image_pull_policy,
        "imagePullSecrets": [{"name": name} for name in model.image_pull_secrets],
        "weights": {
            "url": weights.url,
            "sha256": weights.sha256,
            "credentialsSecretRef": {"name": weights.credentials_secret},
            "endpoint": weights.endpoint,
        },
        "model": {
            "architecture": network.architecture,
            "head": {"hidden": network.head_hidden},
            "classes": list(network.classes),
            "imageSize": network.image_size,
            "mean": list(network.mean or ()),
            "std": list(network.std or ()),
            "engine": network.engine,
        },
        "prediction": _prediction(prediction),
        "verification": _verification(model.verification) if model.verification else None,
        "logging": {"predictions": _prediction_log(model.prediction_log)} if model.prediction_log else None,
        "resources": model.resources,
        "serviceAccountName": model.service_account_name,
        "env": list(model.env),
        "podLabels": model.pod_labels,
        "podAnnotations": model.pod_annotations,
        "nodeSelector": model.node_selector,
        "tolerations": list(model.tolerations),
        "affinity": model.affinity,
        "topologySpreadConstraints": list(model.topology_spread_constraints),
        "priorityClassName": model.priority_class_name,
        "runtimeClassName": model.runtime_class_name,
        "drainSeconds": _unless_default(model, "drain_seconds"),
        "restartedAt": model.restarted_at,
    }
    stripped: Json = _without_nothing(spec)
    return stripped


def _prediction(prediction: Prediction) -> Json:
    return {
        "unknownThreshold": prediction.unknown_threshold,
        "returnProbabilities": _unless_default(prediction, "return_probabilities"),
        "imageURLs": {
            "enabled": _unless_default(prediction, "image_urls_enabled"),
            "allowHosts": list(prediction.image_urls_allow_hosts),
        },
    }


def _verification(wanted: Verification) -> Json:
    return {
        "configMapRef": {"name": wanted.config_map},
        "samples": [{"key": key, "class": answer} for key, answer in wanted.samples],
        "minAccuracy": _unless_default(wanted, "min_accuracy"),
    }


def _prediction_log(wanted: PredictionLog) -> Json:
    return {
        "sink": wanted.sink,  # the default too: with nothing else in it the log would be taken for none
        "url": wanted.url,
        "endpoint": wanted.endpoint,
        "credentialsSecretRef": {"name": wanted.credentials_secret},
        "sampleRate": _unless_default(wanted, "sample_rate"),
        "includeTensors": _unless_default(wanted, "include_tensors"),
        "userHeader": wanted.user_header,
    }


def _unless_default(holder: CatfishModel | Prediction | PredictionLog | Verification, name: str) -> Any:  # noqa: ANN401 - the field's own type
    value = getattr(holder, name)
    default = next(field.default for field in dataclasses.fields(holder) if field.name == name)
    return None if value == default else value


def _without_nothing(value: Any) -> Any:  # noqa: ANN401 - any JSON
    """The same without members that are None or empty, all the way down."""
    if not isinstance(value, dict):
        return value
    kept = {key: _without_nothing(item) for key, item in value.items()}
    return {key: item for key, item in kept.items() if item is not None and item not in ({}, [])}


def name(model: CatfishModel) -> str:
    """The name of the revision that the spec asks for."""
    text = json.dumps(_canonical(inputs(model)), sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return f"{model.name}-{hashlib.sha256(text.encode()).hexdigest()[:10]}"


def _canonical(value: Any, path: tuple[str, ...] = ()) -> Any:  # noqa: ANN401 - any JSON
    """One spelling for equal values: quantities by value, whole numbers without a fraction."""
    if isinstance(value, dict):
        return {key: _canonical(item, (*path, key)) for key, item in value.items()}
    if isinstance(value, list):
        return [_canonical(item, path) for item in value]
    if path[:1] == ("resources",) and path[1] in ("requests", "limits"):
        return quantity.canonical(value)
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value


def revision(model: CatfishModel, *, name: str, number: int, data: Json, kept: Record) -> Json:
    """The ControllerRevision; its data can never change, its number says how lately it was asked for."""
    head = metadata(model, name)
    head["labels"] |= record.labels(kept)
    if annotations := record.annotations(kept):
        head["annotations"] = annotations
    return {
        "apiVersion": API_VERSION,
        "kind": KIND,
        "metadata": head,
        "data": data,
        "revision": number,
    }


def data(model: CatfishModel, template: Json) -> Json:
    """What a new revision keeps."""
    return {"inputs": inputs(model), "template": template}


def stored_template(live: Json) -> Json | None:
    """The pod template that a revision keeps; None if it keeps none that could be used."""
    kept = live.get("data")
    template = kept.get("template") if isinstance(kept, dict) else None
    if not isinstance(template, dict) or not isinstance(template.get("spec"), dict):
        return None
    return template if isinstance(template.get("metadata"), dict) else None


def number(live: Json) -> int:
    """How lately a revision was asked for: the greatest number is the latest."""
    return int(live.get("revision") or 0)
