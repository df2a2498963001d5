"""One CatfishModel, whole."""

from dataclasses import dataclass, field
from typing import Self, cast, get_args

from catfish_operator.errors import InvalidSpec
from catfish_operator.model import read
from catfish_operator.model.names import NAME, RESTARTED_AT, RETRY, Json
from catfish_operator.model.parts import (
    Autoscaling,
    Disruption,
    Exposure,
    Monitoring,
    Network,
    Prediction,
    PredictionLog,
    PullPolicy,
    Rollout,
    Verification,
    Weights,
)
from catfish_operator.model.reader import Reader


@dataclass(frozen=True, slots=True, kw_only=True)
class CatfishModel:
    """One model as its spec asks for it.

    Attributes:
        replicas: None: whoever scales the Deployment decides.
        resources: the container's `resources`, as they came; so are env, node_selector, tolerations, affinity
            and topology_spread_constraints.
        drain_seconds: how long a pod goes on answering after SIGTERM.
        revision_history_limit: how many revisions are kept beyond those in use.
        restarted_at: the annotation catfish.dev/restartedAt, part of the revision; None if there is none.
        retry: the annotation catfish.dev/retry; None if there is none.
    """

    namespace: str
    name: str
    uid: str
    image: str
    weights: Weights
    network: Network
    image_pull_policy: PullPolicy | None = None
    image_pull_secrets: tuple[str, ...] = ()
    prediction: Prediction = field(default_factory=Prediction)
    verification: Verification | None = None
    prediction_log: PredictionLog | None = None
    replicas: int | None = None
    autoscaling: Autoscaling | None = None
    service: Exposure = field(default_factory=Exposure)
    resources: Json = field(default_factory=dict)
    service_account_name: str | None = None
    env: tuple[Json, ...] = ()
    pod_labels: dict[str, str] = field(default_factory=dict)
    pod_annotations: dict[str, str] = field(default_factory=dict)
    node_selector: dict[str, str] = field(default_factory=dict)
    tolerations: tuple[Json, ...] = ()
    affinity: Json = field(default_factory=dict)
    topology_spread_constraints: tuple[Json, ...] = ()
    priority_class_name: str | None = None
    runtime_class_name: str | None = None
    drain_seconds: int = 5
    rollout: Rollout = field(default_factory=Rollout)
    disruption: Disruption = field(default_factory=Disruption)
    monitoring: Monitoring = field(default_factory=Monitoring)
    revision_history_limit: int = 10
    restarted_at: str | None = None
    retry: str | None = None

    @classmethod
    def from_body(cls, body: Json) -> Self:  # long: one line a field
        """Reads a CatfishModel.

        Raises:
            InvalidSpec: the text starts with the path of the field.
        """
        metadata, spec = body["metadata"], Reader(body).part("spec")
        if not NAME.fullmatch(metadata["name"]):
            raise InvalidSpec(
                "metadata.name: must be a DNS label of at most 52 characters that starts with a letter"
            )
        annotations = metadata.get("annotations") or {}
        replicas, autoscaling = spec.whole_or_none("replicas"), read.autoscaling(spec.part("autoscaling"))
        if replicas is not None and autoscaling:
            raise InvalidSpec("spec.replicas: must be absent while spec.autoscaling is set")
        pull_policy = spec.choice("imagePullPolicy", get_args(PullPolicy))
        return cls(
            namespace=metadata["namespace"],
            name=metadata["name"],
            uid=metadata["uid"],
            image=spec.text("image"),
            weights=read.weights(spec.part("weights")),
            network=read.network(spec.part("model")),
            image_pull_policy=cast("PullPolicy | None", pull_policy),
            image_pull_secrets=tuple(item.text("name") for item in spec.parts("imagePullSecrets")),
            prediction=read.prediction(spec.part("prediction")),
            verification=read.verification(spec.part("verification")),
            prediction_log=read.prediction_log(spec.part("logging")),
            replicas=replicas,
            autoscaling=autoscaling,
            service=read.exposure(spec.part("service")),
            resources=read.resources(spec.part("resources")),
            service_account_name=spec.text_or_none("serviceAccountName"),
            env=read.mappings(spec.parts("env")),
            pod_labels=spec.texts_by_name("podLabels"),
            pod_annotations=spec.texts_by_name("podAnnotations"),
            node_selector=spec.texts_by_name("nodeSelector"),
            tolerations=read.mappings(spec.parts("tolerations")),
            affinity=spec.part("affinity").value,
            topology_spread_constraints=read.mappings(spec.parts("topologySpreadConstraints")),
            priority_class_name=spec.text_or_none("priorityClassName"),
            runtime_class_name=spec.text_or_none("runtimeClassName"),
            drain_seconds=spec.whole("drainSeconds", 5),
            rollout=read.rollout(spec.part("rollout")),
            disruption=read.disruption(spec.part("disruption")),
            monitoring=read.monitoring(spec.part("monitoring")),
            revision_history_limit=spec.whole("revisionHistoryLimit", 10),
            restarted_at=annotations.get(RESTARTED_AT),
            retry=annotations.get(RETRY),
        )
