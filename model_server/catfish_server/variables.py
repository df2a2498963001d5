"""The environment variables, and what is known of each. settings.py reads them."""

from pathlib import Path

from catfish_server import readers
from catfish_server.variable import Variable

AUTO, EAGER = "auto", "eager"
ENGINES = (AUTO, EAGER, "torchscript", "onnxruntime")
"""The values of `CATFISH_ENGINE`: the fastest that agrees with eager torch, or always the one of that name."""


IMAGE_FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP")
"""The values of `CATFISH_IMAGE_FORMATS`: all that images.decode knows."""

PREDICTION_LOG: tuple[Variable, ...] = (
    Variable(
        name="CATFISH_PREDICTION_LOG_SINK",
        attribute="prediction_log_sink",
        parse=readers.choice("none", "stdout", "file", "s3", "gs", "az", "kafka"),
        field="spec.logging.predictions.sink",
        flag="--prediction-log",
    ),
    Variable(
        name="CATFISH_PREDICTION_LOG_URL",
        attribute="prediction_log_url",
        parse=str,
        field="spec.logging.predictions.url",
        flag="--prediction-log-url",
        echoed=False,
    ),
    Variable(
        name="CATFISH_PREDICTION_LOG_ENDPOINT",
        attribute="prediction_log_endpoint",
        parse=readers.http_url,
        field="spec.logging.predictions.endpoint",
        flag="--prediction-log-endpoint",
        echoed=False,
    ),
    Variable(
        name="CATFISH_PREDICTION_LOG_SAMPLE_RATE",
        attribute="prediction_log_sample_rate",
        parse=readers.number(0, 1),
        field="spec.logging.predictions.sampleRate",
        flag="--prediction-log-sample-rate",
    ),
    Variable(
        name="CATFISH_PREDICTION_LOG_INCLUDE_TENSORS",
        attribute="prediction_log_include_tensors",
        parse=readers.boolean,
        field="spec.logging.predictions.includeTensors",
        flag="--prediction-log-include-tensors",
    ),
    Variable(
        name="CATFISH_PREDICTION_LOG_FILE_BYTES",
        attribute="prediction_log_file_bytes",
        parse=readers.integer(4096, 2**40),
        flag="--prediction-log-file-bytes",
    ),
    Variable(
        name="CATFISH_PREDICTION_LOG_FILES",
        attribute="prediction_log_files",
        parse=readers.integer(1, 1000),
        flag="--prediction-log-files",
    ),
    Variable(
        name="CATFISH_USER_HEADER",
        attribute="user_header",
        parse=readers.header_name,
        field="spec.logging.predictions.userHeader",
        flag="--user-header",
    ),
)
"""Where predictions are logged to, and what of them."""

LIMITS: tuple[Variable, ...] = (
    Variable(name="CATFISH_MAX_BODY_BYTES", attribute="max_body_bytes", parse=readers.integer(1, 2**31 - 1)),
    Variable(
        name="CATFISH_MAX_HEADER_BYTES", attribute="max_header_bytes", parse=readers.integer(1024, 2**20)
    ),
    Variable(
        name="CATFISH_MAX_JSON_BRACKETS", attribute="max_json_brackets", parse=readers.integer(2, 10_000)
    ),
    Variable(name="CATFISH_MAX_PIXELS", attribute="max_pixels", parse=readers.integer(1, 1_000_000_000)),
    Variable(name="CATFISH_IMAGE_FORMATS", attribute="image_formats", parse=readers.some_of(*IMAGE_FORMATS)),
    Variable(name="CATFISH_MAX_IMAGES", attribute="max_images", parse=readers.integer(1, 1024)),
    Variable(
        name="CATFISH_REQUEST_TIMEOUT_SECONDS",
        attribute="request_timeout_seconds",
        parse=readers.number(0.1, 3600),
    ),
    Variable(name="CATFISH_QUEUE_LENGTH", attribute="queue_length", parse=readers.integer(1, 100_000)),
    Variable(name="CATFISH_MAX_WAIT_SECONDS", attribute="max_wait_seconds", parse=readers.number(0, 3600)),
    Variable(name="CATFISH_MAX_BATCH", attribute="max_batch", parse=readers.integer(1, 1024)),
    Variable(
        name="CATFISH_IMAGE_URLS_MAX_BYTES",
        attribute="image_urls_max_bytes",
        parse=readers.integer(1, 2**31 - 1),
    ),
    Variable(
        name="CATFISH_IMAGE_URLS_MAX_REDIRECTS",
        attribute="image_urls_max_redirects",
        parse=readers.integer(0, 20),
    ),
    Variable(
        name="CATFISH_IMAGE_URLS_TIMEOUT_SECONDS",
        attribute="image_urls_timeout_seconds",
        parse=readers.number(0.1, 3600),
    ),
    Variable(name="CATFISH_MAX_CONNECTIONS", attribute="max_connections", parse=readers.integer(10, 100_000)),
    Variable(
        name="CATFISH_HEADER_TIMEOUT_SECONDS",
        attribute="header_timeout_seconds",
        parse=readers.number(0.1, 3600),
    ),
    Variable(
        name="CATFISH_BODY_TIMEOUT_SECONDS", attribute="body_timeout_seconds", parse=readers.number(0.1, 3600)
    ),
    Variable(
        name="CATFISH_BODY_BYTES_PER_SECOND",
        attribute="body_bytes_per_second",
        parse=readers.integer(1, 2**30),
    ),
)
"""What strangers may ask for, and how long they may take."""

_PORT = readers.integer(0, 65535)

VARIABLES: tuple[Variable, ...] = (
    Variable(name="CATFISH_HOST", attribute="host", parse=str, flag="--host"),
    Variable(name="CATFISH_PORT", attribute="port", parse=_PORT, flag="--port"),
    Variable(name="CATFISH_ADMIN_PORT", attribute="admin_port", parse=_PORT, flag="--admin-port"),
    Variable(name="CATFISH_GRPC_PORT", attribute="grpc_port", parse=_PORT, flag="--grpc-port"),
    Variable(
        name="CATFISH_MODEL_NAME",
        attribute="model_name",
        parse=readers.name,
        field="metadata.name",
        flag="--model-name",
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
    Variable(
        name="CATFISH_DRAIN_LIMIT_SECONDS", attribute="drain_limit_seconds", parse=readers.number(0, 3600)
    ),
    Variable(name="CATFISH_REVISION", attribute="revision", parse=readers.name),
    Variable(name="CATFISH_THREADS", attribute="threads", parse=readers.integer(1, 1024), flag="--threads"),
    *LIMITS,
    *PREDICTION_LOG,
    Variable(name="CATFISH_CACHE_DIR", attribute="cache_dir", parse=Path, flag="--cache-dir"),
    Variable(
        name="CATFISH_ENGINE",
        attribute="engine",
        parse=readers.one_of(*ENGINES),
        field="spec.model.engine",
        flag="--engine",
    ),
    Variable(
        name="CATFISH_ENGINE_DELAY_SECONDS",
        attribute="engine_delay_seconds",
        parse=readers.number(0, 3600),
        flag="--engine-delay-seconds",
    ),
    Variable(name="CATFISH_LOG_LEVEL", attribute="log_level", parse=readers.log_level, flag="--log-level"),
    Variable(name="CATFISH_ACCESS_LOG", attribute="access_log", parse=readers.boolean, flag="--access-log"),
)
"""Every variable that is read, in the order of `--help`."""
