"""Reads the parts of a spec, each with its defaults. Called by `CatfishModel.from_body`."""

from typing import cast, get_args

from catfish_operator.errors import InvalidSpec
from catfish_operator.model.names import Json
from catfish_operator.model.parts import (
    Autoscaling,
    Canary,
    Disruption,
    Engine,
    Exposure,
    LogSink,
    Monitoring,
    Network,
    Prediction,
    PredictionLog,
    Rollout,
    ServiceType,
    TrafficPolicy,
    Verification,
    Weights,
)
from catfish_operator.model.reader import Reader


def weights(spec: Reader) -> Weights:
    """`spec.weights`."""
    reference = spec.part("credentialsSecretRef")
    return Weights(
        url=spec.text("url"),
        sha256=spec.text_or_none("sha256"),
        credentials_secret=reference.text("name") if reference.value else None,
        endpoint=spec.text_or_none("endpoint"),
    )


def network(spec: Reader) -> Network:
    """`spec.model`."""
    classes = spec.texts("classes")
    if len(classes) == 1 or len(set(classes)) < len(classes):
        raise InvalidSpec(f"{spec.path}.classes: must be two or more different names")
    return Network(
        architecture=spec.text("architecture"),
        classes=classes,
        head_hidden=spec.part("head").whole_or_none("hidden"),
        image_size=spec.whole_or_none("imageSize"),
        mean=spec.three_numbers("mean"),
        std=spec.three_numbers("std"),
        engine=cast("Engine | None", spec.choice("engine", get_args(Engine))),
    )


def prediction(spec: Reader) -> Prediction:
    """`spec.prediction`."""
    default, image_urls = Prediction(), spec.part("imageURLs")
    return Prediction(
        unknown_threshold=spec.number_or_none("unknownThreshold"),
        return_probabilities=spec.flag("returnProbabilities", default.return_probabilities),
        image_urls_enabled=image_urls.flag("enabled", default.image_urls_enabled),
        image_urls_allow_hosts=image_urls.texts("allowHosts"),
    )


def verification(spec: Reader) -> Verification | None:
    """`spec.verification`; None if it is not there."""
    if not spec.value:
        return None
    samples = tuple((sample.text("key"), sample.text("class")) for sample in spec.parts("samples"))
    if not samples:
        raise InvalidSpec(f"{spec.path}.samples: must be one or more")
    return Verification(
        config_map=spec.part("configMapRef").text("name"),
        samples=samples,
        min_accuracy=spec.number("minAccuracy", 1.0),
    )


def autoscaling(spec: Reader) -> Autoscaling | None:
    """`spec.autoscaling`; None if it is not there."""
    if not spec.value:
        return None
    greatest = spec.whole_or_none("maxReplicas")
    if not greatest:
        raise InvalidSpec(f"{spec.path}.maxReplicas: is required")
    return Autoscaling(
        min_replicas=spec.whole("minReplicas", 1),
        max_replicas=greatest,
        target_cpu=spec.whole("targetCPUUtilizationPercentage", 80),
    )


def exposure(spec: Reader) -> Exposure:
    """`spec.service`."""
    default = Exposure()
    port, grpc_port = spec.whole("port", default.port), spec.whole_or_none("grpcPort")
    if grpc_port == port:
        raise InvalidSpec(f"{spec.path}.grpcPort: must differ from {spec.path}.port")
    kind = spec.choice("type", get_args(ServiceType)) or default.type
    policy = spec.choice("externalTrafficPolicy", get_args(TrafficPolicy))
    return Exposure(
        type=cast("ServiceType", kind),
        port=port,
        grpc_port=grpc_port,
        annotations=spec.texts_by_name("annotations"),
        load_balancer_class=spec.text_or_none("loadBalancerClass"),
        load_balancer_source_ranges=spec.texts("loadBalancerSourceRanges"),
        external_traffic_policy=cast("TrafficPolicy | None", policy),
    )


def resources(spec: Reader) -> Json:
    """`spec.resources`, as it came."""
    for name in ("requests", "limits"):
        spec.part(name)  # refuses what is not an object
    return spec.value


def rollout(spec: Reader) -> Rollout:
    """`spec.rollout`."""
    default = Rollout()
    max_unavailable = spec.whole("maxUnavailable", default.max_unavailable)
    return Rollout(
        max_surge=spec.whole("maxSurge", default.max_surge),
        max_unavailable=max_unavailable,
        min_ready_seconds=spec.whole("minReadySeconds", default.min_ready_seconds),
        progress_deadline_seconds=spec.whole("progressDeadlineSeconds", default.progress_deadline_seconds),
        canary=_canary(spec.part("canary"), possible=max_unavailable == 0),
        bake_seconds=spec.whole("bakeSeconds", default.bake_seconds),
        auto_rollback=spec.flag("autoRollback", default.auto_rollback),
        paused=spec.flag("paused", default.paused),
    )


def _canary(spec: Reader, *, possible: bool) -> Canary:
    """`spec.rollout.canary`; off where old pods may go before new ones are available.

    The CRD refuses both together. But a model that was stored before there was a canary reads as if it asked
    for one: the API server puts defaults also into what it reads from the store.
    """
    default = Canary()
    return Canary(
        seconds=spec.whole("seconds", default.seconds) if possible else 0,
        max_error_rate=spec.number("maxErrorRate", default.max_error_rate),
        max_latency_ratio=spec.number_or_none("maxLatencyRatio"),
    )


def disruption(spec: Reader) -> Disruption:
    """`spec.disruption`."""
    return Disruption(max_unavailable=spec.whole("maxUnavailable", Disruption().max_unavailable))


def monitoring(spec: Reader) -> Monitoring:
    """`spec.monitoring`."""
    return Monitoring(service_monitor=spec.flag("serviceMonitor", Monitoring().service_monitor))


def prediction_log(spec: Reader) -> PredictionLog | None:
    """`spec.logging.predictions`; None if `spec.logging` is not there."""
    if not spec.value:
        return None
    default, asked = PredictionLog(), spec.part("predictions")
    reference = asked.part("credentialsSecretRef")
    return PredictionLog(
        sink=cast("LogSink", asked.choice("sink", get_args(LogSink)) or default.sink),
        url=asked.text_or_none("url"),
        endpoint=asked.text_or_none("endpoint"),
        credentials_secret=reference.text("name") if reference.value else None,
        sample_rate=asked.number("sampleRate", default.sample_rate),
        include_tensors=asked.flag("includeTensors", default.include_tensors),
        user_header=asked.text_or_none("userHeader"),
    )


def mappings(items: list[Reader]) -> tuple[Json, ...]:
    """A list of objects that are handed on to the pods as they came."""
    return tuple(item.value for item in items)
