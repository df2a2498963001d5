"""The Deployment of a model and the pod template that a new revision keeps."""

import json

from catfish_operator.model import CatfishModel, Json
from catfish_operator.resources.metadata import REVISION_LABEL, labels, metadata, selector

API_VERSION, KIND = "apps/v1", "Deployment"
CONTAINER = "server"
HTTP_PORT, GRPC_PORT, ADMIN_PORT = 5000, 5001, 5002
LONGEST_REQUEST_SECONDS = 30
CLOSING_SECONDS = 5
DRAIN_LIMIT_SECONDS = 60
"""That a pod goes on answering at most while new connections come: where the API server was away before, kube-proxy and
the endpoints' controller may learn as late as this that it leaves."""
VERIFICATION_DIR = "/verification"
CLAIMS_DIR = "/mnt/pvc"
WEIGHTS_SECRET_PREFIX = "CATFISH_WEIGHTS_SECRET_"  # noqa: S105 - a prefix of variables
LOG_SECRET_PREFIX = "CATFISH_LOG_SECRET_"  # noqa: S105 - a prefix of variables
SCRATCH_SIZE = "8Gi"
"""The room for weights while they are fetched; a pod that takes more is evicted."""

HELD_SECONDS = 315_360_000
"""Ten years, as `minReadySeconds`: no new pod becomes available, so Kubernetes makes maxSurge of them and takes
no old one away. The hold is in the Deployment and not in the operator: it stays though the operator dies."""
NO_DEADLINE = 2_147_483_647
"""The `progressDeadlineSeconds` that the Deployment's controller takes as none, and the only one that is greater
than HELD_SECONDS and always allowed (k8s.io/kubernetes pkg/controller/deployment/util, HasProgressDeadline)."""


def deployment(
    model: CatfishModel, *, template: Json, replicas: int | None, held: bool = False, surge: int | None = None
) -> Json:
    """The Deployment.

    Args:
        model: how pods are replaced, and whose it is.
        template: of the revision that is to run.
        replicas: None leaves the number of pods to whoever owns it.
        held: whether only the first maxSurge new pods may come, beside all old ones.
        surge: on the way back, pods that may be there beyond the wanted number, each of which counts as soon as it
            is Ready; None: as the model says.
    """
    rollout = model.rollout
    min_ready = HELD_SECONDS if held else rollout.min_ready_seconds if surge is None else 0
    spec: Json = {
        "selector": {"matchLabels": selector(model.name)},
        "strategy": {
            "type": "RollingUpdate",
            "rollingUpdate": {
                "maxSurge": rollout.max_surge if surge is None else surge,
                "maxUnavailable": rollout.max_unavailable,
            },
        },
        "minReadySeconds": min_ready,
        "progressDeadlineSeconds": NO_DEADLINE if held else rollout.progress_deadline_seconds,
        "revisionHistoryLimit": 10,
        "paused": rollout.paused,
        "template": template,
    }
    if replicas is not None:
        spec["replicas"] = replicas
    return {"apiVersion": API_VERSION, "kind": KIND, "metadata": metadata(model), "spec": spec}


def surges(live: Json | None, surge: int) -> bool:
    """Whether a Deployment is on its way back with this `surge` of `deployment`."""
    if live is None:
        return False
    strategy = (live["spec"].get("strategy") or {}).get("rollingUpdate") or {}
    return strategy.get("maxSurge") == surge and not live["spec"].get("minReadySeconds")


def template(model: CatfishModel, *, revision: str) -> Json:
    """The pod template of a new revision: `restricted` by Pod Security, with no token and no command.

    There is no startupProbe, which would end a long download: the admin port answers from the start on.
    """
    drain = max(model.drain_seconds, DRAIN_LIMIT_SECONDS)
    spec: Json = {
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
        "terminationGracePeriodSeconds": drain + LONGEST_REQUEST_SECONDS + CLOSING_SECONDS,
        "containers": [_container(model, revision=revision)],
        "volumes": [{"name": "tmp", "emptyDir": {"sizeLimit": SCRATCH_SIZE}}],
        "topologySpreadConstraints": _spread(model),
    }
    if model.verification:
        spec["volumes"].append({"name": "verification", "configMap": {"name": model.verification.config_map}})
    if claim := model.weights.claim:
        source = {"persistentVolumeClaim": {"claimName": claim, "readOnly": True}}
        spec["volumes"].append({"name": "weights", **source})
    optional = {
        "imagePullSecrets": [{"name": name} for name in model.image_pull_secrets],
        "serviceAccountName": model.service_account_name,
        "nodeSelector": model.node_selector,
        "tolerations": list(model.tolerations),
        "affinity": model.affinity,
        "priorityClassName": model.priority_class_name,
        "runtimeClassName": model.runtime_class_name,
    }
    head: Json = {"labels": model.pod_labels | labels(model.name) | {REVISION_LABEL: revision}}
    if model.pod_annotations:
        head["annotations"] = model.pod_annotations
    return {"metadata": head, "spec": spec | {key: value for key, value in optional.items() if value}}


def _spread(model: CatfishModel) -> list[Json]:
    """How pods are spread: as the spec says, else over nodes where that is possible.

    A constraint without a labelSelector would be about no pods at all; it is about the model's.
    """
    own = {"labelSelector": {"matchLabels": selector(model.name)}}
    default: Json = {
        "maxSkew": 1,
        "topologyKey": "kubernetes.io/hostname",
        "whenUnsatisfiable": "ScheduleAnyway",
        "matchLabelKeys": ["pod-template-hash"],  # old pods, which are about to go, do not count
    }
    return [own | constraint for constraint in model.topology_spread_constraints or (default,)]


def _container(model: CatfishModel, *, revision: str) -> Json:
    container: Json = {
        "name": CONTAINER,
        "image": model.image,
        "imagePullPolicy": model.image_pull_policy or _pull_policy(model.image),
        "env": [*environment(model, revision=revision), *model.env],
        "ports": [
            {"name": "http", "containerPort": HTTP_PORT, "protocol": "TCP"},
            {"name": "grpc", "containerPort": GRPC_PORT, "protocol": "TCP"},
            {"name": "admin", "containerPort": ADMIN_PORT, "protocol": "TCP"},
        ],
        "livenessProbe": _probe("/livez", period=10, timeout=5, failures=3),
        "readinessProbe": _probe("/readyz", period=2, timeout=2, failures=2),
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "readOnlyRootFilesystem": True,
        },
        "terminationMessagePath": "/dev/termination-log",
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "volumeMounts": [{"name": "tmp", "mountPath": "/tmp"}],  # noqa: S108 - a volume of the pod's own
    }
    if model.verification:
        container["volumeMounts"].append(
            {"name": "verification", "mountPath": VERIFICATION_DIR, "readOnly": True}
        )
    if claim := model.weights.claim:
        container["volumeMounts"].append(
            {"name": "weights", "mountPath": f"{CLAIMS_DIR}/{claim}", "readOnly": True}
        )
    if secrets := _secrets(model):
        container["envFrom"] = secrets
    if model.resources:
        container["resources"] = model.resources
    return container


def _pull_policy(image: str) -> str:
    """Kubernetes' own rule: only the tag `latest`, given or implied, is pulled each time."""
    if "@" in image:
        return "IfNotPresent"
    _, colon, tag = image.rpartition("/")[2].partition(":")
    return "Always" if not colon or tag == "latest" else "IfNotPresent"


def _probe(path: str, *, period: int, timeout: int, failures: int) -> Json:
    return {
        "httpGet": {"path": path, "port": "admin", "scheme": "HTTP"},
        "periodSeconds": period,
        "timeoutSeconds": timeout,
        "failureThreshold": failures,
        "successThreshold": 1,
    }


def environment(model: CatfishModel, *, revision: str) -> list[Json]:
    """The server's environment, as docs/contract.md has it; what the spec leaves open sets no variable."""
    weights, network, prediction = model.weights, model.network, model.prediction
    values: dict[str, str | None] = {
        "CATFISH_HOST": "0.0.0.0",  # noqa: S104 - the pod's own address; the Service decides who reaches it
        "CATFISH_PORT": str(HTTP_PORT),
        "CATFISH_GRPC_PORT": str(GRPC_PORT),
        "CATFISH_ADMIN_PORT": str(ADMIN_PORT),
        "CATFISH_MODEL_NAME": model.name,
        "CATFISH_MODEL_LOCATION": weights.url,
        "CATFISH_MODEL_SHA256": weights.sha256,
        "CATFISH_WEIGHTS_ENDPOINT": weights.endpoint,
        "CATFISH_ARCHITECTURE": network.architecture,
        "CATFISH_HEAD_HIDDEN": _number(network.head_hidden),
        "CATFISH_CLASSES": json.dumps(network.classes, ensure_ascii=False) if network.classes else None,
        "CATFISH_IMAGE_SIZE": _number(network.image_size),
        "CATFISH_IMAGE_MEAN": _numbers(network.mean),
        "CATFISH_IMAGE_STD": _numbers(network.std),
        "CATFISH_ENGINE": network.engine,
        "CATFISH_UNKNOWN_THRESHOLD": _number(prediction.unknown_threshold),
        "CATFISH_RETURN_PROBABILITIES": _flag(prediction.return_probabilities),
        "CATFISH_IMAGE_URLS_ENABLED": _flag(prediction.image_urls_enabled),
        "CATFISH_IMAGE_URLS_ALLOW_HOSTS": ",".join(prediction.image_urls_allow_hosts) or None,
        **_verification(model),
        **_prediction_log(model),
        "CATFISH_DRAIN_SECONDS": str(model.drain_seconds),
        "CATFISH_DRAIN_LIMIT_SECONDS": str(DRAIN_LIMIT_SECONDS),
        "CATFISH_REVISION": revision,
    }
    return [{"name": name, "value": _literal(value)} for name, value in values.items() if value is not None]


def _verification(model: CatfishModel) -> dict[str, str | None]:
    wanted = model.verification
    if wanted is None:
        return {}
    return {
        "CATFISH_VERIFICATION_DIR": VERIFICATION_DIR,
        "CATFISH_VERIFICATION_SAMPLES": json.dumps(wanted.samples, ensure_ascii=False),
        "CATFISH_VERIFICATION_MIN_ACCURACY": str(wanted.min_accuracy),
    }


def _prediction_log(model: CatfishModel) -> dict[str, str | None]:
    wanted = model.prediction_log
    if wanted is None:
        return {}
    return {
        "CATFISH_PREDICTION_LOG_SINK": wanted.sink,
        "CATFISH_PREDICTION_LOG_URL": wanted.url,
        "CATFISH_PREDICTION_LOG_ENDPOINT": wanted.endpoint,
        "CATFISH_PREDICTION_LOG_SAMPLE_RATE": str(wanted.sample_rate),
        "CATFISH_PREDICTION_LOG_INCLUDE_TENSORS": _flag(wanted.include_tensors),
        "CATFISH_USER_HEADER": wanted.user_header,
    }


def _secrets(model: CatfishModel) -> list[Json]:
    """The Secrets whose keys become variables, each under a prefix: they are for the stores that they are of alone."""
    secrets: list[Json] = []
    if model.weights.credentials_secret:
        own = {"secretRef": {"name": model.weights.credentials_secret}}
        secrets.append({"prefix": WEIGHTS_SECRET_PREFIX} | own)
    if model.prediction_log and model.prediction_log.credentials_secret:
        own = {"secretRef": {"name": model.prediction_log.credentials_secret}}
        secrets.append({"prefix": LOG_SECRET_PREFIX} | own)
    return secrets


def _literal(value: str) -> str:
    """The value so that Kubernetes passes it on as it is; it replaces `$(NAME)`, and takes `$$` for `$`."""
    return value.replace("$", "$$")


def _number(value: float | None) -> str | None:
    return None if value is None else str(value)


def _numbers(values: tuple[float, ...] | None) -> str | None:
    return None if values is None else ",".join(str(value) for value in values)


def _flag(value: bool) -> str:
    return "true" if value else "false"
