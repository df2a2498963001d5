"""What the server is told at start: every environment variable of docs/contract.md, read once and checked.

`__main__` reads it; nothing else in the package looks at the environment, but for the credentials of a store
(`for_stores`). On a laptop command-line flags take the place of the variables.
"""

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from catfish_server import cpus
from catfish_server.errors import InvalidSpec
from catfish_server.variables import EAGER, IMAGE_FORMATS, VARIABLES

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
"""What torchvision's own weights were trained with (torchvision.transforms._presets.ImageClassification)."""


WEIGHTS_SECRET_PREFIX = "CATFISH_WEIGHTS_SECRET_"  # noqa: S105 (a prefix of variables)
"""The keys of the Secret that spec.weights.credentialsSecretRef names arrive under this prefix, so that they are for
stores alone: a key may have the name of a setting, or of what Python or the linker reads."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The settings of one server.

    Attributes:
        host: address to listen on. `CATFISH_HOST`.
        port: of the HTTP API; 0 takes a free one. `CATFISH_PORT`.
        admin_port: of the probes and metrics; 0 takes a free one. `CATFISH_ADMIN_PORT`.
        grpc_port: of the Open Inference Protocol by gRPC; 0: none is opened. `CATFISH_GRPC_PORT`.
        model_name: that the Open Inference Protocol knows the model by. `CATFISH_MODEL_NAME`.
        location: of the weights: a path, or a URL of `weights.location`. `CATFISH_MODEL_LOCATION`.
        sha256: of the weights, 64 lowercase hex digits; None: not checked. `CATFISH_MODEL_SHA256`.
        weights_endpoint: of another store than the cloud's own; None: that. `CATFISH_WEIGHTS_ENDPOINT`.
        architecture: a torchvision classifier by name, `cnnnet`, or the format of a file that is a whole model:
            `torchscript`, `exported`, `onnx`. `CATFISH_ARCHITECTURE`.
        head_hidden: width of the head's hidden layer; None: read off the weights. `CATFISH_HEAD_HIDDEN`.
        classes: names in the order of the outputs; empty: as the weights name them, and numbered from 0 where they
            do not. A server with a revision does not start then. `CATFISH_CLASSES`.
        image_size: height and width in pixels of the model's input. `CATFISH_IMAGE_SIZE`.
        mean: of R, G and B in 0..1. `CATFISH_IMAGE_MEAN`.
        std: of R, G and B in 0..1. `CATFISH_IMAGE_STD`.
        unknown_threshold: least probability of an answer; None: always the best. `CATFISH_UNKNOWN_THRESHOLD`.
        return_probabilities: whether a caller may ask for all of them. `CATFISH_RETURN_PROBABILITIES`.
        image_urls_enabled: whether `image_url` is fetched. `CATFISH_IMAGE_URLS_ENABLED`.
        image_urls_allow_hosts: hosts that may resolve to private addresses. `CATFISH_IMAGE_URLS_ALLOW_HOSTS`.
        verification_dir: where the golden images lie. `CATFISH_VERIFICATION_DIR`.
        verification_samples: golden images, each a file's name and its class. `CATFISH_VERIFICATION_SAMPLES`.
        verification_min_accuracy: share to answer right, 0..1. `CATFISH_VERIFICATION_MIN_ACCURACY`.
        drain_seconds: to go on answering after SIGTERM. `CATFISH_DRAIN_SECONDS`.
        drain_limit_seconds: to go on at most, as long as new connections come; less than `drain_seconds`: no longer
            than that. `CATFISH_DRAIN_LIMIT_SECONDS`.
        revision: sent back with every answer; None: no such header. `CATFISH_REVISION`.
        threads: inference threads; default: the CPU quota of the container. `CATFISH_THREADS`.
        max_body_bytes: of a request. `CATFISH_MAX_BODY_BYTES`.
        max_header_bytes: of a request's line and header, and of gRPC's metadata. `CATFISH_MAX_HEADER_BYTES`.
        max_json_brackets: `{` and `[` of the JSON of `/predict` and `/feedback`, besides one for each image.
            `CATFISH_MAX_JSON_BRACKETS`.
        max_pixels: of an image, as its header says. `CATFISH_MAX_PIXELS`.
        image_formats: of images that are decoded. `CATFISH_IMAGE_FORMATS`.
        max_images: of one call. `CATFISH_MAX_IMAGES`.
        request_timeout_seconds: that the longest request may take. `CATFISH_REQUEST_TIMEOUT_SECONDS`.
        queue_length: images that may wait for an inference thread. `CATFISH_QUEUE_LENGTH`.
        max_wait_seconds: predicted wait beyond which a request is refused at once. `CATFISH_MAX_WAIT_SECONDS`.
        max_batch: images in one pass of the model; 1 switches batches off. `CATFISH_MAX_BATCH`.
        image_urls_max_bytes: of an image that is fetched. `CATFISH_IMAGE_URLS_MAX_BYTES`.
        image_urls_max_redirects: that are followed to an image. `CATFISH_IMAGE_URLS_MAX_REDIRECTS`.
        image_urls_timeout_seconds: that fetching an image may take, from its name to its last byte.
            `CATFISH_IMAGE_URLS_TIMEOUT_SECONDS`.
        max_connections: of the HTTP API, fewer where the system gives fewer descriptors. `CATFISH_MAX_CONNECTIONS`.
        header_timeout_seconds: from the first byte of a request to the end of its header.
            `CATFISH_HEADER_TIMEOUT_SECONDS`.
        body_timeout_seconds: that a body may take, and as long as its bytes take at the rate below.
            `CATFISH_BODY_TIMEOUT_SECONDS`.
        body_bytes_per_second: of a body that takes longer; a quarter of it at least in each of those times.
            `CATFISH_BODY_BYTES_PER_SECOND`.
        prediction_log_sink: where records go: `none`, `stdout`, `file`, `s3`, `gs`, `az` or `kafka`.
            `CATFISH_PREDICTION_LOG_SINK`.
        prediction_log_url: of the sink, where it has one. `CATFISH_PREDICTION_LOG_URL`.
        prediction_log_endpoint: of another store than the cloud's own. `CATFISH_PREDICTION_LOG_ENDPOINT`.
        prediction_log_sample_rate: share of predictions that are logged. `CATFISH_PREDICTION_LOG_SAMPLE_RATE`.
        prediction_log_include_tensors: whether records hold them. `CATFISH_PREDICTION_LOG_INCLUDE_TENSORS`.
        prediction_log_file_bytes: before another file is begun. `CATFISH_PREDICTION_LOG_FILE_BYTES`.
        prediction_log_files: that are kept. `CATFISH_PREDICTION_LOG_FILES`.
        user_header: whose value tells who asks; None: nobody is told apart. `CATFISH_USER_HEADER`.
        cache_dir: where downloads are kept; must be writable. `CATFISH_CACHE_DIR`.
        engine: what runs a model of the registry: `auto`, `eager`, `torchscript` or `onnxruntime`; all begin with
            eager. `CATFISH_ENGINE`.
        engine_delay_seconds: from being ready until other engines are tried. `CATFISH_ENGINE_DELAY_SECONDS`.
        log_level: of Python's logging. `CATFISH_LOG_LEVEL`.
        access_log: whether each request is a line of JSON on standard output. `CATFISH_ACCESS_LOG`.
    """

    location: str
    classes: tuple[str, ...] = ()
    host: str = "0.0.0.0"  # noqa: S104 (a container is reached from outside only this way)
    port: int = 5000
    admin_port: int = 5002
    grpc_port: int = 5001
    model_name: str = "catfish"
    sha256: str | None = None
    weights_endpoint: str | None = None
    architecture: str = "resnet50"
    head_hidden: int | None = None
    image_size: int = 224
    mean: tuple[float, float, float] = IMAGENET_MEAN
    std: tuple[float, float, float] = IMAGENET_STD
    unknown_threshold: float | None = None
    return_probabilities: bool = False
    image_urls_enabled: bool = True
    image_urls_allow_hosts: tuple[str, ...] = ()
    verification_dir: Path = Path("/verification")
    verification_samples: tuple[tuple[str, str], ...] = ()
    verification_min_accuracy: float = 1.0
    drain_seconds: float = 5.0
    drain_limit_seconds: float = 0.0
    revision: str | None = None
    threads: int = field(default_factory=cpus.available)
    max_body_bytes: int = 10 * 1024 * 1024
    max_header_bytes: int = 16 * 1024
    max_json_brackets: int = 32
    max_pixels: int = 25_000_000
    image_formats: tuple[str, ...] = IMAGE_FORMATS
    max_images: int = 32
    request_timeout_seconds: float = 30.0
    queue_length: int = 256
    max_wait_seconds: float = 2.0
    max_batch: int = 32
    image_urls_max_bytes: int = 10 * 1024 * 1024
    image_urls_max_redirects: int = 3
    image_urls_timeout_seconds: float = 5.0
    max_connections: int = 2000
    header_timeout_seconds: float = 5.0
    body_timeout_seconds: float = 15.0
    body_bytes_per_second: int = 64 * 1024
    prediction_log_sink: str = "none"
    prediction_log_url: str | None = None
    prediction_log_endpoint: str | None = None
    prediction_log_sample_rate: float = 1.0
    prediction_log_include_tensors: bool = False
    prediction_log_file_bytes: int = 64 * 1024 * 1024
    prediction_log_files: int = 10
    user_header: str | None = None
    cache_dir: Path = Path("/tmp")  # noqa: S108 (weights/cache.py makes a private directory in it)
    engine: str = EAGER
    engine_delay_seconds: float = 10.0
    log_level: str = "INFO"
    access_log: bool = False

    @classmethod
    def from_env(cls, env: Mapping[str, str]) -> "Settings":
        """The settings that the variables describe; a variable that is absent or empty leaves the default.

        Raises:
            InvalidSpec: a value cannot be used; the text names the variable and the field of the spec.
        """
        values: dict[str, object] = {}
        for variable in VARIABLES:
            text = env.get(variable.name, "").strip()
            if text:
                values[variable.attribute] = variable.read(text)
            elif variable.required:
                raise InvalidSpec(
                    f"{variable.field or variable.name}: is required ({variable.name} is not set)"
                )
        return cls(**values)  # type: ignore[arg-type]  # each reader returns the type of its attribute


def for_stores(env: Mapping[str, str]) -> dict[str, str]:
    """The environment as the clients of stores are given it: with the keys of the weights' Secret as variables.

    What `spec.env` sets holds before them. No `CATFISH_` variable comes of a key: that one would be the Secret of the
    prediction log's.
    """
    keys = {
        name.removeprefix(WEIGHTS_SECRET_PREFIX): value
        for name, value in env.items()
        if name.startswith(WEIGHTS_SECRET_PREFIX)
    }
    return {name: value for name, value in keys.items() if not name.startswith("CATFISH_")} | dict(env)


def flags(arguments: Sequence[str]) -> dict[str, str]:
    """The variables that the command line sets; ends the program on `--help` and on unknown flags."""
    parser = argparse.ArgumentParser(
        prog="catfish-server",
        description="Serve an image classifier. Every flag has an environment variable; the flag wins.",
        allow_abbrev=False,
    )
    for variable in VARIABLES:
        if variable.flag:
            parser.add_argument(variable.flag, dest=variable.name, metavar="VALUE", help=variable.name)
    return {name: text for name, text in vars(parser.parse_args(arguments)).items() if text is not None}
