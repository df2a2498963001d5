"""The CatfishModel: raw JSON ends here, everything after it uses these types.

The CRD has checked a body before we see one. What is checked here again is what the operator relies on, for
objects that were stored under another schema. The defaults are those of the CRD (a test holds them equal).
"""

import re
from dataclasses import dataclass, field
from typing import Any, Literal, Self, cast, get_args

from catfish_operator.errors import InvalidSpec

Json = dict[str, Any]
"""A Kubernetes object, or a part of one, as it came."""

GROUP = "catfish.dev"
VERSION = "v1alpha1"
API_VERSION = f"{GROUP}/{VERSION}"
KIND = "CatfishModel"
PLURAL = "catfishmodels"

NAME = re.compile(r"[a-z]([-a-z0-9]{0,50}[a-z0-9])?")
"""A DNS label that starts with a letter, as a Service's must (RFC 1035); 63 less `-` and a hash of 10."""

PullPolicy = Literal["Always", "IfNotPresent", "Never"]
ServiceType = Literal["ClusterIP", "NodePort", "LoadBalancer"]
TrafficPolicy = Literal["Cluster", "Local"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Weights:
    """Where the weights are and what they must hash to."""

    url: str
    sha256: str | None = None
    credentials_secret: str | None = None
    endpoint: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Network:
    """The network that the weights are for, and the pictures it takes. None: the server's own default."""

    architecture: str
    classes: tuple[str, ...]
    head_hidden: int | None = None
    image_size: int | None = None
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Prediction:
    """How questions are answered."""

    unknown_threshold: float | None = None
    return_probabilities: bool = False
    image_urls_enabled: bool = True
    image_urls_allow_hosts: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Exposure:
    """The Service in front of the pods."""

    type: ServiceType = "LoadBalancer"
    port: int = 80
    annotations: dict[str, str] = field(default_factory=dict)
    load_balancer_class: str | None = None
    load_balancer_source_ranges: tuple[str, ...] = ()
    external_traffic_policy: TrafficPolicy | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Rollout:
    """How pods are replaced; the Deployment's own words and units (pods, seconds)."""

    max_surge: int = 1
    max_unavailable: int = 0
    min_ready_seconds: int = 10
    progress_deadline_seconds: int = 600


@dataclass(frozen=True, slots=True, kw_only=True)
class CatfishModel:
    """One model as its spec asks for it.

    Attributes:
        replicas: None: whoever scales the Deployment decides.
        resources: the container's `resources`, as they came; so are node_selector and tolerations.
        drain_seconds: how long a pod goes on answering after SIGTERM.
    """

    namespace: str
    name: str
    uid: str
    image: str
    weights: Weights
    network: Network
    image_pull_policy: PullPolicy | None = None
    image_pull_secrets: tuple[str, ...] = ()
    prediction: Prediction = Prediction()
    replicas: int | None = None
    service: Exposure = field(default_factory=Exposure)
    resources: Json = field(default_factory=dict)
    node_selector: dict[str, str] = field(default_factory=dict)
    tolerations: tuple[Json, ...] = ()
    drain_seconds: int = 5
    rollout: Rollout = Rollout()

    @classmethod
    def from_body(cls, body: Json) -> Self:
        """Reads a CatfishModel.

        Raises:
            InvalidSpec: the text starts with the path of the field.
        """
        metadata = body["metadata"]
        if not NAME.fullmatch(metadata["name"]):
            raise InvalidSpec(
                "metadata.name: must be a DNS label of at most 52 characters that starts with a letter"
            )
        spec = _Reader(body, "").part("spec")
        return cls(
            namespace=metadata["namespace"],
            name=metadata["name"],
            uid=metadata["uid"],
            image=spec.text("image"),
            image_pull_policy=cast("PullPolicy | None", spec.choice("imagePullPolicy", get_args(PullPolicy))),
            image_pull_secrets=tuple(item.text("name") for item in spec.parts("imagePullSecrets")),
            weights=_weights(spec.part("weights")),
            network=_network(spec.part("model")),
            prediction=_prediction(spec.part("prediction")),
            replicas=spec.whole_or_none("replicas"),
            service=_exposure(spec.part("service")),
            resources=_resources(spec.part("resources")),
            node_selector=spec.texts_by_name("nodeSelector"),
            tolerations=tuple(item.value for item in spec.parts("tolerations")),
            drain_seconds=spec.whole("drainSeconds", 5),
            rollout=_rollout(spec.part("rollout")),
        )


def _weights(spec: "_Reader") -> Weights:
    reference = spec.part("credentialsSecretRef")
    return Weights(
        url=spec.text("url"),
        sha256=spec.text_or_none("sha256"),
        credentials_secret=reference.text("name") if reference.value else None,
        endpoint=spec.text_or_none("endpoint"),
    )


def _network(spec: "_Reader") -> Network:
    classes = spec.texts("classes")
    if len(classes) < 2 or len(set(classes)) < len(classes):
        raise InvalidSpec(f"{spec.path}.classes: must be two or more different names")
    return Network(
        architecture=spec.text("architecture"),
        classes=classes,
        head_hidden=spec.part("head").whole_or_none("hidden"),
        image_size=spec.whole_or_none("imageSize"),
        mean=spec.three_numbers("mean"),
        std=spec.three_numbers("std"),
    )


def _prediction(spec: "_Reader") -> Prediction:
    default, image_urls = Prediction(), spec.part("imageURLs")
    return Prediction(
        unknown_threshold=spec.number_or_none("unknownThreshold"),
        return_probabilities=spec.flag("returnProbabilities", default.return_probabilities),
        image_urls_enabled=image_urls.flag("enabled", default.image_urls_enabled),
        image_urls_allow_hosts=image_urls.texts("allowHosts"),
    )


def _exposure(spec: "_Reader") -> Exposure:
    default = Exposure()
    kind = spec.choice("type", get_args(ServiceType)) or default.type
    policy = spec.choice("externalTrafficPolicy", get_args(TrafficPolicy))
    return Exposure(
        type=cast("ServiceType", kind),
        port=spec.whole("port", default.port),
        annotations=spec.texts_by_name("annotations"),
        load_balancer_class=spec.text_or_none("loadBalancerClass"),
        load_balancer_source_ranges=spec.texts("loadBalancerSourceRanges"),
        external_traffic_policy=cast("TrafficPolicy | None", policy),
    )


def _resources(spec: "_Reader") -> Json:
    for name in ("requests", "limits"):
        spec.part(name)  # refuses what is not an object
    return spec.value


def _rollout(spec: "_Reader") -> Rollout:
    default = Rollout()
    return Rollout(
        max_surge=spec.whole("maxSurge", default.max_surge),
        max_unavailable=spec.whole("maxUnavailable", default.max_unavailable),
        min_ready_seconds=spec.whole("minReadySeconds", default.min_ready_seconds),
        progress_deadline_seconds=spec.whole("progressDeadlineSeconds", default.progress_deadline_seconds),
    )


class _Reader:
    """Takes typed values out of a raw mapping; a wrong type is an InvalidSpec that names the path."""

    def __init__(self, value: Json, path: str) -> None:
        self.value = value
        self.path = path

    def part(self, name: str) -> "_Reader":
        return _Reader(self._get(name, dict, "an object", {}), self._path(name))

    def parts(self, name: str) -> list["_Reader"]:
        items = self._get(name, list, "a list", [])
        if not all(isinstance(item, dict) for item in items):
            raise InvalidSpec(f"{self._path(name)}: must be a list of objects")
        return [_Reader(item, f"{self._path(name)}[{index}]") for index, item in enumerate(items)]

    def text(self, name: str) -> str:
        text = self.text_or_none(name)
        if not text:
            raise InvalidSpec(f"{self._path(name)}: is required")
        return text

    def text_or_none(self, name: str) -> str | None:
        text: str | None = self._get(name, str, "a string", None)
        return text

    def choice(self, name: str, choices: tuple[str, ...]) -> str | None:
        text = self.text_or_none(name)
        if text is not None and text not in choices:
            raise InvalidSpec(f"{self._path(name)}: must be one of {', '.join(choices)}")
        return text

    def texts(self, name: str) -> tuple[str, ...]:
        items = self._get(name, list, "a list", [])
        if not all(isinstance(item, str) for item in items):
            raise InvalidSpec(f"{self._path(name)}: must be a list of strings")
        return tuple(items)

    def texts_by_name(self, name: str) -> dict[str, str]:
        items: dict[str, str] = self._get(name, dict, "an object", {})
        if not all(isinstance(item, str) for item in items.values()):
            raise InvalidSpec(f"{self._path(name)}: must hold strings")
        return items

    def flag(self, name: str, default: bool) -> bool:
        return bool(self._get(name, bool, "true or false", default))

    def whole(self, name: str, default: int) -> int:
        value = self.whole_or_none(name)
        return default if value is None else value

    def whole_or_none(self, name: str) -> int | None:
        value: int | None = self._get(name, int, "a whole number", None)
        if value is not None and (isinstance(value, bool) or not 0 <= value < 2**31):
            raise InvalidSpec(f"{self._path(name)}: must be a whole number from 0 on")
        return value

    def number_or_none(self, name: str) -> float | None:
        value: float | None = self._get(name, int | float, "a number", None)
        return value

    def three_numbers(self, name: str) -> tuple[float, ...] | None:
        items = self._get(name, list, "a list", None)
        if items is None:
            return None
        if len(items) != 3 or not all(isinstance(item, int | float) for item in items):
            raise InvalidSpec(f"{self._path(name)}: must be three numbers")
        return tuple(items)

    def _get(self, name: str, kind: Any, words: str, default: Any) -> Any:  # noqa: ANN401 - raw JSON
        value = self.value.get(name)
        if value is None:
            return default
        if not isinstance(value, kind):
            raise InvalidSpec(f"{self._path(name)}: must be {words}")
        return value

    def _path(self, name: str) -> str:
        return f"{self.path}.{name}" if self.path else name
