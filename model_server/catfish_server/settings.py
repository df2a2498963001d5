"""What the server is told at start: every environment variable of docs/contract.md, read once and checked.

`__main__` reads it; nothing else in the package looks at the environment, but for the credentials of a store
(weights/location.py). On a laptop command-line flags take the place of the variables.
"""

import argparse
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from catfish_server import cpus, readers
from catfish_server.errors import InvalidSpec

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
"""What torchvision's own weights were trained with (torchvision.transforms._presets.ImageClassification)."""

AUTO, EAGER = "auto", "eager"
ENGINES = (AUTO, EAGER, "torchscript", "onnxruntime")
"""The values of `CATFISH_ENGINE`: the fastest that agrees with eager torch, or always the one of that name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The settings of one server.

    Attributes:
        host: address to listen on. `CATFISH_HOST`.
        port: of the HTTP API; 0 takes a free one. `CATFISH_PORT`.
        admin_port: of the probes and metrics; 0 takes a free one. `CATFISH_ADMIN_PORT`.
        location: of the weights: a path, or a URL of `weights.location`. `CATFISH_MODEL_LOCATION`.
        sha256: of the weights, 64 lowercase hex digits; None: not checked. `CATFISH_MODEL_SHA256`.
        weights_endpoint: of another store than the cloud's own; None: that. `CATFISH_WEIGHTS_ENDPOINT`.
        architecture: a torchvision classifier by name, `cnnnet`, or the format of a file that is a whole model:
            `torchscript`, `exported`, `onnx`. `CATFISH_ARCHITECTURE`.
        head_hidden: width of the head's hidden layer; None: read off the weights. `CATFISH_HEAD_HIDDEN`.
        classes: names in the order of the outputs; empty: as the weights name them. `CATFISH_CLASSES`.
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
        revision: sent back with every answer; None: no such header. `CATFISH_REVISION`.
        threads: inference threads; default: the CPU quota of the container. `CATFISH_THREADS`.
        max_body_bytes: of a request. `CATFISH_MAX_BODY_BYTES`.
        max_pixels: of an image, as its header says. `CATFISH_MAX_PIXELS`.
        request_timeout_seconds: that the longest request may take. `CATFISH_REQUEST_TIMEOUT_SECONDS`.
        queue_length: images that may wait for an inference thread. `CATFISH_QUEUE_LENGTH`.
        max_wait_seconds: predicted wait beyond which a request is refused at once. `CATFISH_MAX_WAIT_SECONDS`.
        max_batch: images in one pass of the model; 1 switches batches off. `CATFISH_MAX_BATCH`.
        cache_dir: where downloads are kept; must be writable. `CATFISH_CACHE_DIR`.
        engine: what runs a model of the registry: `auto`, `eager`, `torchscript` or `onnxruntime`; all begin with
            eager. `CATFISH_ENGINE`.
        engine_delay_seconds: from being ready until other engines are tried. `CATFISH_ENGINE_DELAY_SECONDS`.
        log_level: of Python's logging. `CATFISH_LOG_LEVEL`.
    """

    location: str
    classes: tuple[str, ...] = ()
    host: str = "0.0.0.0"  # noqa: S104 (a container is reached from outside only this way)
    port: int = 5000
    admin_port: int = 5002
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
    revision: str | None = None
    threads: int = field(default_factory=cpus.available)
    max_body_bytes: int = 10 * 1024 * 1024
    max_pixels: int = 25_000_000
    request_timeout_seconds: float = 30.0
    queue_length: int = 256
    max_wait_seconds: float = 2.0
    max_batch: int = 32
    cache_dir: Path = Path("/tmp")  # noqa: S108 (weights/cache.py makes a private directory in it)
    engine: str = AUTO
    engine_delay_seconds: float = 10.0
    log_level: str = "INFO"

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


@dataclass(frozen=True, slots=True, kw_only=True)
class Variable:
    """One environment variable.

    Attributes:
        name: of the variable.
        attribute: of `Settings` that it sets.
        parse: from the text to the value; a ValueError says what is expected.
        field: of the `CatfishModel` that the operator takes it from, None for what only an image sets.
        flag: of the command line, None without one.
        required: whether a server can start without it.
        echoed: whether a message may repeat a bad value; not where people paste credentials.
    """

    name: str
    attribute: str
    parse: Callable[[str], object]
    field: str | None = None
    flag: str | None = None
    required: bool = False
    echoed: bool = True

    def read(self, text: str) -> object:
        """The value of the text, or InvalidSpec with a sentence that names where it came from."""
        try:
            return self.parse(text)
        except ValueError as error:
            origin = f"{self.field}: " if self.field else ""
            shown = f" is {text[:60]!r}" if self.echoed else ""
            raise InvalidSpec(f"{origin}{error} ({self.name}{shown})") from None


VARIABLES: tuple[Variable, ...] = (
    Variable(name="CATFISH_HOST", attribute="host", parse=str, flag="--host"),
    Variable(name="CATFISH_PORT", attribute="port", parse=readers.integer(0, 65535), flag="--port"),
    Variable(
        name="CATFISH_ADMIN_PORT",
        attribute="admin_port",
        parse=readers.integer(0, 65535),
        flag="--admin-port",
    ),
    Variable(
        name="CATFISH_MODEL_LOCATION",
        attribute="location",
        parse=str,
        field="spec.weights.url",
        flag="--weights",
        required=True,
    ),
    Variable(
        name="CATFISH_MODEL_SHA256",
        attribute="sha256",
        parse=readers.sha256,
        field="spec.weights.sha256",
        flag="--sha256",
    ),
    Variable(
        name="CATFISH_WEIGHTS_ENDPOINT",
        attribute="weights_endpoint",
        parse=readers.http_url,
        field="spec.weights.endpoint",
        flag="--weights-endpoint",
        echoed=False,
    ),
    Variable(
        name="CATFISH_ARCHITECTURE",
        attribute="architecture",
        parse=readers.name,
        field="spec.model.architecture",
        flag="--architecture",
    ),
    Variable(
        name="CATFISH_HEAD_HIDDEN",
        attribute="head_hidden",
        parse=readers.integer(1, 1_000_000),
        field="spec.model.head.hidden",
        flag="--head-hidden",
    ),
    Variable(
        name="CATFISH_CLASSES",
        attribute="classes",
        parse=readers.classes,
        field="spec.model.classes",
        flag="--classes",
    ),
    Variable(
        name="CATFISH_IMAGE_SIZE",
        attribute="image_size",
        parse=readers.integer(8, 2048),
        field="spec.model.imageSize",
        flag="--image-size",
    ),
    Variable(
        name="CATFISH_IMAGE_MEAN",
        attribute="mean",
        parse=readers.triple(-10, 10, above=False),
        field="spec.model.mean",
        flag="--mean",
    ),
    Variable(
        name="CATFISH_IMAGE_STD",
        attribute="std",
        parse=readers.triple(0, 10, above=True),
        field="spec.model.std",
        flag="--std",
    ),
    Variable(
        name="CATFISH_UNKNOWN_THRESHOLD",
        attribute="unknown_threshold",
        parse=readers.number(0, 1),
        field="spec.prediction.unknownThreshold",
        flag="--unknown-threshold",
    ),
    Variable(
        name="CATFISH_RETURN_PROBABILITIES",
        attribute="return_probabilities",
        parse=readers.boolean,
        field="spec.prediction.returnProbabilities",
        flag="--return-probabilities",
    ),
    Variable(
        name="CATFISH_IMAGE_URLS_ENABLED",
        attribute="image_urls_enabled",
        parse=readers.boolean,
        field="spec.prediction.imageURLs.enabled",
    ),
    Variable(
        name="CATFISH_IMAGE_URLS_ALLOW_HOSTS",
        attribute="image_urls_allow_hosts",
        parse=readers.hosts,
        field="spec.prediction.imageURLs.allowHosts",
        flag="--allow-hosts",
    ),
    Variable(
        name="CATFISH_VERIFICATION_DIR",
        attribute="verification_dir",
        parse=Path,
        field="spec.verification.configMapRef",
        flag="--verification-dir",
    ),
    Variable(
        name="CATFISH_VERIFICATION_SAMPLES",
        attribute="verification_samples",
        parse=readers.samples,
        field="spec.verification.samples",
        flag="--verification-samples",
    ),
    Variable(
        name="CATFISH_VERIFICATION_MIN_ACCURACY",
        attribute="verification_min_accuracy",
        parse=readers.number(0, 1),
        field="spec.verification.minAccuracy",
        flag="--verification-min-accuracy",
    ),
    Variable(
        name="CATFISH_DRAIN_SECONDS",
        attribute="drain_seconds",
        parse=readers.number(0, 3600),
        field="spec.drainSeconds",
        flag="--drain-seconds",
    ),
    Variable(name="CATFISH_REVISION", attribute="revision", parse=readers.name),
    Variable(name="CATFISH_THREADS", attribute="threads", parse=readers.integer(1, 1024), flag="--threads"),
    Variable(name="CATFISH_MAX_BODY_BYTES", attribute="max_body_bytes", parse=readers.integer(1, 2**31 - 1)),
    Variable(name="CATFISH_MAX_PIXELS", attribute="max_pixels", parse=readers.integer(1, 1_000_000_000)),
    Variable(
        name="CATFISH_REQUEST_TIMEOUT_SECONDS",
        attribute="request_timeout_seconds",
        parse=readers.number(0.1, 3600),
    ),
    Variable(name="CATFISH_QUEUE_LENGTH", attribute="queue_length", parse=readers.integer(1, 100_000)),
    Variable(name="CATFISH_MAX_WAIT_SECONDS", attribute="max_wait_seconds", parse=readers.number(0, 3600)),
    Variable(name="CATFISH_MAX_BATCH", attribute="max_batch", parse=readers.integer(1, 1024)),
    Variable(name="CATFISH_CACHE_DIR", attribute="cache_dir", parse=Path, flag="--cache-dir"),
    Variable(name="CATFISH_ENGINE", attribute="engine", parse=readers.one_of(*ENGINES), flag="--engine"),
    Variable(
        name="CATFISH_ENGINE_DELAY_SECONDS",
        attribute="engine_delay_seconds",
        parse=readers.number(0, 3600),
        flag="--engine-delay-seconds",
    ),
    Variable(name="CATFISH_LOG_LEVEL", attribute="log_level", parse=readers.log_level, flag="--log-level"),
)
"""Every variable that is read, in the order of `--help`."""


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
