"""Environment variables: what is known of each, and those of the prediction log. settings.py has all the others."""

from collections.abc import Callable
from dataclasses import dataclass

from catfish_server import readers
from catfish_server.errors import InvalidSpec


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
