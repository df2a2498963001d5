from dataclasses import asdict
from pathlib import Path

import pytest

from catfish_server import settings as configuration
from catfish_server.errors import InvalidSpec
from catfish_server.settings import Settings

REQUIRED = {"CATFISH_MODEL_LOCATION": "/w.pt", "CATFISH_CLASSES": '["cat", "fish"]'}


def test_every_default_is_the_documented_one() -> None:  # long: one line for each setting
    assert asdict(Settings.from_env(REQUIRED | {"CATFISH_THREADS": "3"})) == {
        "location": "/w.pt",
        "classes": ("cat", "fish"),
        "host": "0.0.0.0",
        "port": 5000,
        "grpc_port": 5001,
        "admin_port": 5002,
        "model_name": "catfish",
        "sha256": None,
        "weights_endpoint": None,
        "architecture": "resnet50",
        "head_hidden": None,
        "image_size": 224,
        "mean": (0.485, 0.456, 0.406),
        "std": (0.229, 0.224, 0.225),
        "unknown_threshold": None,
        "return_probabilities": False,
        "image_urls_enabled": True,
        "image_urls_allow_hosts": (),
        "verification_dir": Path("/verification"),
        "verification_samples": (),
        "verification_min_accuracy": 1.0,
        "drain_seconds": 5.0,
        "drain_limit_seconds": 0.0,
        "revision": None,
        "threads": 3,
        "max_body_bytes": 10485760,
        "max_header_bytes": 16384,
        "max_json_brackets": 32,
        "max_pixels": 25_000_000,
        "image_formats": ("JPEG", "PNG", "WEBP", "GIF", "BMP"),
        "max_images": 32,
        "request_timeout_seconds": 30.0,
        "queue_length": 256,
        "max_wait_seconds": 2.0,
        "max_batch": 32,
        "image_urls_max_bytes": 10485760,
        "image_urls_max_redirects": 3,
        "image_urls_timeout_seconds": 5.0,
        "max_connections": 2000,
        "header_timeout_seconds": 5.0,
        "body_timeout_seconds": 15.0,
        "body_bytes_per_second": 65536,
        "prediction_log_sink": "none",
        "prediction_log_url": None,
        "prediction_log_endpoint": None,
        "prediction_log_sample_rate": 1.0,
        "prediction_log_include_tensors": False,
        "prediction_log_file_bytes": 67_108_864,
        "prediction_log_files": 10,
        "user_header": None,
        "cache_dir": Path("/tmp"),
        "engine": "eager",
        "engine_delay_seconds": 10.0,
        "log_level": "INFO",
        "access_log": False,
    }


def test_every_variable_of_the_contract_is_read() -> None:  # long: one line a variable
    env = {
        "CATFISH_HOST": "127.0.0.1",
        "CATFISH_PORT": "1",
        "CATFISH_ADMIN_PORT": "2",
        "CATFISH_MODEL_NAME": "whiskers",
        "CATFISH_MODEL_LOCATION": "s3://models/v1.pt",
        "CATFISH_MODEL_SHA256": "AB" * 32,
        "CATFISH_WEIGHTS_ENDPOINT": "http://store:9000/",
        "CATFISH_ARCHITECTURE": "cnnnet",
        "CATFISH_HEAD_HIDDEN": "500",
        "CATFISH_CLASSES": "cat, fish,dog",
        "CATFISH_IMAGE_SIZE": "96",
        "CATFISH_IMAGE_MEAN": "0.1,0.2, 0.3",
        "CATFISH_IMAGE_STD": "1,1,1",
        "CATFISH_UNKNOWN_THRESHOLD": "0.6",
        "CATFISH_RETURN_PROBABILITIES": "true",
        "CATFISH_IMAGE_URLS_ENABLED": "false",
        "CATFISH_IMAGE_URLS_ALLOW_HOSTS": "Store.example., other",
        "CATFISH_VERIFICATION_DIR": "/golden",
        "CATFISH_VERIFICATION_SAMPLES": '[["chelsea.jpg", "cat"], ["..data.png", "fïsh"]]',
        "CATFISH_VERIFICATION_MIN_ACCURACY": "0.75",
        "CATFISH_PREDICTION_LOG_SINK": "kafka",
        "CATFISH_PREDICTION_LOG_URL": "kafka://broker/topic",
        "CATFISH_PREDICTION_LOG_ENDPOINT": "http://store:9000/",
        "CATFISH_PREDICTION_LOG_SAMPLE_RATE": "0.25",
        "CATFISH_PREDICTION_LOG_INCLUDE_TENSORS": "true",
        "CATFISH_USER_HEADER": "X-User-Id",
        "CATFISH_DRAIN_SECONDS": "0",
        "CATFISH_REVISION": "catfish-0123456789",
        "CATFISH_MAX_BODY_BYTES": "1000",
        "CATFISH_MAX_HEADER_BYTES": "1024",
        "CATFISH_MAX_JSON_BRACKETS": "2",
        "CATFISH_MAX_PIXELS": "100",
        "CATFISH_IMAGE_FORMATS": "png, jpeg",
        "CATFISH_MAX_IMAGES": "3",
        "CATFISH_REQUEST_TIMEOUT_SECONDS": "120",
        "CATFISH_QUEUE_LENGTH": "7",
        "CATFISH_MAX_WAIT_SECONDS": "1",
        "CATFISH_MAX_BATCH": "1",
        "CATFISH_IMAGE_URLS_MAX_BYTES": "500",
        "CATFISH_IMAGE_URLS_MAX_REDIRECTS": "0",
        "CATFISH_IMAGE_URLS_TIMEOUT_SECONDS": "0.5",
        "CATFISH_MAX_CONNECTIONS": "10",
        "CATFISH_HEADER_TIMEOUT_SECONDS": "2",
        "CATFISH_BODY_TIMEOUT_SECONDS": "8",
        "CATFISH_BODY_BYTES_PER_SECOND": "1",
        "CATFISH_ENGINE": "ONNXRuntime",
        "CATFISH_ENGINE_DELAY_SECONDS": "0.5",
    }
    assert Settings.from_env(env | {"CATFISH_THREADS": "1"}) == Settings(
        host="127.0.0.1",
        port=1,
        admin_port=2,
        model_name="whiskers",
        location="s3://models/v1.pt",
        sha256="ab" * 32,
        weights_endpoint="http://store:9000",
        architecture="cnnnet",
        head_hidden=500,
        classes=("cat", "fish", "dog"),
        image_size=96,
        mean=(0.1, 0.2, 0.3),
        std=(1.0, 1.0, 1.0),
        unknown_threshold=0.6,
        return_probabilities=True,
        image_urls_enabled=False,
        image_urls_allow_hosts=("store.example", "other"),
        verification_dir=Path("/golden"),
        verification_samples=(("chelsea.jpg", "cat"), ("..data.png", "fïsh")),
        verification_min_accuracy=0.75,
        prediction_log_sink="kafka",
        prediction_log_url="kafka://broker/topic",
        prediction_log_endpoint="http://store:9000",
        prediction_log_sample_rate=0.25,
        prediction_log_include_tensors=True,
        user_header="X-User-Id",
        drain_seconds=0.0,
        max_body_bytes=1000,
        max_header_bytes=1024,
        max_json_brackets=2,
        max_pixels=100,
        image_formats=("JPEG", "PNG"),
        max_images=3,
        request_timeout_seconds=120.0,
        queue_length=7,
        max_wait_seconds=1.0,
        max_batch=1,
        image_urls_max_bytes=500,
        image_urls_max_redirects=0,
        image_urls_timeout_seconds=0.5,
        max_connections=10,
        header_timeout_seconds=2.0,
        body_timeout_seconds=8.0,
        body_bytes_per_second=1,
        engine="onnxruntime",
        engine_delay_seconds=0.5,
        revision="catfish-0123456789",
        threads=1,
    )


@pytest.mark.parametrize(
    ("variable", "value", "field"),
    [
        ("CATFISH_PORT", "65536", "CATFISH_PORT"),
        ("CATFISH_PORT", "\N{ARABIC-INDIC DIGIT FIVE}", "CATFISH_PORT"),
        ("CATFISH_MODEL_LOCATION", "", "spec.weights.url"),
        ("CATFISH_MODEL_SHA256", "abc", "spec.weights.sha256"),
        ("CATFISH_WEIGHTS_ENDPOINT", "store:9000", "spec.weights.endpoint"),
        ("CATFISH_WEIGHTS_ENDPOINT", "http://user:hunter2@store", "spec.weights.endpoint"),
        ("CATFISH_WEIGHTS_ENDPOINT", "http://store:hunter2", "spec.weights.endpoint"),
        ("CATFISH_ARCHITECTURE", "../etc", "spec.model.architecture"),
        ("CATFISH_HEAD_HIDDEN", "0", "spec.model.head.hidden"),
        ("CATFISH_CLASSES", "cat", "spec.model.classes"),
        ("CATFISH_CLASSES", "cat,cat", "spec.model.classes"),
        ("CATFISH_CLASSES", '["cat", 1]', "spec.model.classes"),
        ("CATFISH_CLASSES", '["cat"', "spec.model.classes"),
        ("CATFISH_CLASSES", "[" * 100_000, "spec.model.classes"),
        ("CATFISH_CLASSES", '["cat", "a\\nb"]', "spec.model.classes"),
        ("CATFISH_IMAGE_SIZE", "1e3", "spec.model.imageSize"),
        ("CATFISH_IMAGE_MEAN", "1,2", "spec.model.mean"),
        ("CATFISH_IMAGE_MEAN", "nan,0,0", "spec.model.mean"),
        ("CATFISH_IMAGE_STD", "0,1,1", "spec.model.std"),
        ("CATFISH_QUEUE_LENGTH", "0", "CATFISH_QUEUE_LENGTH"),
        ("CATFISH_MAX_WAIT_SECONDS", "-1", "CATFISH_MAX_WAIT_SECONDS"),
        ("CATFISH_MAX_BATCH", "0", "CATFISH_MAX_BATCH"),
        ("CATFISH_UNKNOWN_THRESHOLD", "nan", "spec.prediction.unknownThreshold"),
        ("CATFISH_UNKNOWN_THRESHOLD", "60%", "spec.prediction.unknownThreshold"),
        ("CATFISH_RETURN_PROBABILITIES", "maybe", "spec.prediction.returnProbabilities"),
        ("CATFISH_VERIFICATION_SAMPLES", "chelsea.jpg=cat", "spec.verification.samples"),
        ("CATFISH_VERIFICATION_SAMPLES", '{"chelsea.jpg": "cat"}', "spec.verification.samples"),
        ("CATFISH_VERIFICATION_SAMPLES", '[["chelsea.jpg"]]', "spec.verification.samples"),
        ("CATFISH_VERIFICATION_SAMPLES", '[["chelsea.jpg", 1]]', "spec.verification.samples"),
        ("CATFISH_VERIFICATION_SAMPLES", '[["../etc/passwd", "cat"]]', "spec.verification.samples"),
        ("CATFISH_VERIFICATION_SAMPLES", '[["..", "cat"]]', "spec.verification.samples"),
        ("CATFISH_VERIFICATION_SAMPLES", '[["", "cat"]]', "spec.verification.samples"),
        ("CATFISH_VERIFICATION_SAMPLES", '[["a.jpg", " "]]', "spec.verification.samples"),
        ("CATFISH_VERIFICATION_SAMPLES", '[["a\\nb.jpg", "cat"]]', "spec.verification.samples"),
        (
            "CATFISH_VERIFICATION_SAMPLES",
            '[["a.jpg", "cat"], ["a.jpg", "fish"]]',
            "spec.verification.samples",
        ),
        ("CATFISH_VERIFICATION_SAMPLES", "[" * 100_000, "spec.verification.samples"),
        ("CATFISH_VERIFICATION_MIN_ACCURACY", "80%", "spec.verification.minAccuracy"),
        ("CATFISH_PREDICTION_LOG_SINK", "syslog", "spec.logging.predictions.sink"),
        ("CATFISH_PREDICTION_LOG_ENDPOINT", "http://me:hunter2@s", "spec.logging.predictions.endpoint"),
        ("CATFISH_PREDICTION_LOG_SAMPLE_RATE", "10%", "spec.logging.predictions.sampleRate"),
        ("CATFISH_PREDICTION_LOG_INCLUDE_TENSORS", "some", "spec.logging.predictions.includeTensors"),
        ("CATFISH_PREDICTION_LOG_FILES", "0", "CATFISH_PREDICTION_LOG_FILES"),
        ("CATFISH_USER_HEADER", "X User", "spec.logging.predictions.userHeader"),
        ("CATFISH_DRAIN_SECONDS", "-1", "spec.drainSeconds"),
        ("CATFISH_MAX_BODY_BYTES", "10MiB", "CATFISH_MAX_BODY_BYTES"),
        ("CATFISH_MAX_HEADER_BYTES", "1023", "CATFISH_MAX_HEADER_BYTES"),
        ("CATFISH_MAX_HEADER_BYTES", "1048577", "CATFISH_MAX_HEADER_BYTES"),
        ("CATFISH_MAX_JSON_BRACKETS", "1", "CATFISH_MAX_JSON_BRACKETS"),
        ("CATFISH_MAX_JSON_BRACKETS", "10001", "CATFISH_MAX_JSON_BRACKETS"),
        ("CATFISH_MAX_PIXELS", "0", "CATFISH_MAX_PIXELS"),
        ("CATFISH_IMAGE_FORMATS", "JPEG,TIFF", "CATFISH_IMAGE_FORMATS"),
        ("CATFISH_IMAGE_FORMATS", ",", "CATFISH_IMAGE_FORMATS"),
        ("CATFISH_REQUEST_TIMEOUT_SECONDS", "0", "CATFISH_REQUEST_TIMEOUT_SECONDS"),
        ("CATFISH_IMAGE_URLS_MAX_BYTES", "0", "CATFISH_IMAGE_URLS_MAX_BYTES"),
        ("CATFISH_IMAGE_URLS_MAX_REDIRECTS", "-1", "CATFISH_IMAGE_URLS_MAX_REDIRECTS"),
        ("CATFISH_IMAGE_URLS_MAX_REDIRECTS", "21", "CATFISH_IMAGE_URLS_MAX_REDIRECTS"),
        ("CATFISH_IMAGE_URLS_TIMEOUT_SECONDS", "5s", "CATFISH_IMAGE_URLS_TIMEOUT_SECONDS"),
        ("CATFISH_MAX_CONNECTIONS", "9", "CATFISH_MAX_CONNECTIONS"),
        ("CATFISH_HEADER_TIMEOUT_SECONDS", "0", "CATFISH_HEADER_TIMEOUT_SECONDS"),
        ("CATFISH_BODY_TIMEOUT_SECONDS", "inf", "CATFISH_BODY_TIMEOUT_SECONDS"),
        ("CATFISH_BODY_BYTES_PER_SECOND", "0", "CATFISH_BODY_BYTES_PER_SECOND"),
        ("CATFISH_MAX_IMAGES", "0", "CATFISH_MAX_IMAGES"),
        ("CATFISH_MAX_IMAGES", "1025", "CATFISH_MAX_IMAGES"),
        ("CATFISH_ACCESS_LOG", "verbose", "CATFISH_ACCESS_LOG"),
        ("CATFISH_ENGINE", "tensorrt", "CATFISH_ENGINE"),
        ("CATFISH_LOG_LEVEL", "loud", "CATFISH_LOG_LEVEL"),
    ],
)
def test_a_bad_value_is_refused_with_the_names_of_the_variable_and_the_field(
    variable: str, value: str, field: str
) -> None:
    with pytest.raises(InvalidSpec) as refused:
        Settings.from_env(REQUIRED | {variable: value})
    sentence = str(refused.value)
    assert variable in sentence
    assert sentence.startswith(field) or f"({field}" in sentence
    assert "hunter2" not in sentence
    assert len(sentence) < 300


def test_flags_take_the_place_of_variables() -> None:
    flags = configuration.flags(["--weights", "cat.pt", "--classes", "cat,fish", "--image-size", "96"])
    settings = Settings.from_env(REQUIRED | {"CATFISH_IMAGE_SIZE": "224"} | flags)
    assert (settings.location, settings.classes, settings.image_size) == ("cat.pt", ("cat", "fish"), 96)


def test_every_attribute_has_exactly_one_variable() -> None:
    attributes = [variable.attribute for variable in configuration.VARIABLES]
    assert sorted(attributes) == sorted(Settings.__dataclass_fields__)


def test_the_clients_of_stores_have_the_keys_of_the_weights_secret_after_what_is_set_without_it() -> None:
    prefix = configuration.WEIGHTS_SECRET_PREFIX
    env = {
        "AWS_REGION": "here",
        "CATFISH_PORT": "1",
        f"{prefix}AWS_REGION": "there",
        f"{prefix}AWS_ACCESS_KEY_ID": "a",
        f"{prefix}CATFISH_PORT": "2",
        f"{prefix}CATFISH_LOG_SECRET_AWS_ACCESS_KEY_ID": "b",
    }
    assert configuration.for_stores(env) == env | {"AWS_ACCESS_KEY_ID": "a"}


def test_no_key_of_the_weights_secret_is_a_setting() -> None:
    env = {f"{configuration.WEIGHTS_SECRET_PREFIX}CATFISH_PORT": "2"}
    assert Settings.from_env(REQUIRED | env).port == Settings.from_env(REQUIRED).port
