"""The parts of a CatfishModel's spec, one frozen type each. None: the field was left out and has no default."""

from dataclasses import dataclass, field
from typing import Literal

PullPolicy = Literal["Always", "IfNotPresent", "Never"]
LogSink = Literal["none", "stdout", "file", "s3", "gs", "az", "kafka"]
Engine = Literal["auto", "eager", "torchscript", "onnxruntime"]
ServiceType = Literal["ClusterIP", "NodePort", "LoadBalancer"]
TrafficPolicy = Literal["Cluster", "Local"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Weights:
    """Where the weights are and what they must hash to."""

    url: str
    sha256: str | None = None
    credentials_secret: str | None = None
    endpoint: str | None = None

    @property
    def claim(self) -> str | None:
        """The PersistentVolumeClaim of a `pvc://claim/path`; None for all other addresses."""
        scheme, _, rest = self.url.partition("://")
        return rest.partition("/")[0] if scheme == "pvc" else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Network:
    """The network that the weights are for, and the pictures it takes. None: the server's own default."""

    architecture: str
    classes: tuple[str, ...] = ()
    head_hidden: int | None = None
    image_size: int | None = None
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    engine: Engine | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Prediction:
    """How questions are answered."""

    unknown_threshold: float | None = None
    return_probabilities: bool = False
    image_urls_enabled: bool = True
    image_urls_allow_hosts: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Verification:
    """Golden images: what a new pod must answer right before it may be Ready.

    Attributes:
        config_map: the ConfigMap with the pictures.
        samples: pairs of a key of the ConfigMap and the class that is the right answer.
        min_accuracy: the share of the samples, 0 to 1, that must be answered right.
    """

    config_map: str
    samples: tuple[tuple[str, str], ...]
    min_accuracy: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Autoscaling:
    """Bounds and aim of the HorizontalPodAutoscaler; `target_cpu` is in percent of the requested CPU."""

    max_replicas: int
    min_replicas: int = 1
    target_cpu: int = 80


@dataclass(frozen=True, slots=True, kw_only=True)
class Exposure:
    """The Service in front of the pods; `grpc_port` None: gRPC is not offered."""

    type: ServiceType = "LoadBalancer"
    port: int = 80
    grpc_port: int | None = None
    annotations: dict[str, str] = field(default_factory=dict)
    load_balancer_class: str | None = None
    load_balancer_source_ranges: tuple[str, ...] = ()
    external_traffic_policy: TrafficPolicy | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Canary:
    """How the first new pods are watched before the others are replaced.

    Attributes:
        seconds: how long; 0: not at all.
        max_error_rate: share of failed requests, 0 to 1, above which a revision is bad.
        max_latency_ratio: new pods' latency over the old ones' above which it is; None: not judged.
    """

    seconds: int = 30
    max_error_rate: float = 0.02
    max_latency_ratio: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Rollout:
    """How pods are replaced and judged; where the Deployment has the field, its own words and units.

    Attributes:
        bake_seconds: how long a whole revision is watched before it counts as proven; where the first new pods are
            all there are, the old ones stay for it.
        auto_rollback: whether a bad revision is undone.
        paused: whether the rollout stands still.
    """

    max_surge: int = 1
    max_unavailable: int = 0
    min_ready_seconds: int = 10
    progress_deadline_seconds: int = 600
    canary: Canary = Canary()
    bake_seconds: int = 60
    auto_rollback: bool = True
    paused: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Disruption:
    """How many pods a drain of nodes may take away at a time."""

    max_unavailable: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Monitoring:
    """Whether Prometheus' operator is told of the pods."""

    service_monitor: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class PredictionLog:
    """Where each prediction is logged to, and what of it.

    Attributes:
        url: None for the sinks that need none.
        endpoint: of a store that is not the cloud's own; None for that.
        credentials_secret: whose keys the server takes for the sink alone.
        sample_rate: share of the predictions, 0 to 1.
        user_header: the header of a request that tells who asks; None: nobody is told apart.
    """

    sink: LogSink = "stdout"
    url: str | None = None
    endpoint: str | None = None
    credentials_secret: str | None = None
    sample_rate: float = 1.0
    include_tensors: bool = False
    user_header: str | None = None
