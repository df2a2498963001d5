"""The operator's settings and the log format that they choose."""

import io
import json
import logging

import pytest

from catfish_operator import errors
from catfish_operator.controller import logs
from catfish_operator.settings import Settings


def test_the_defaults_are_these():
    assert Settings.from_env({}) == Settings(
        namespace="",
        workers=8,
        resync_seconds=60.0,
        request_timeout_seconds=30.0,
        admin_host="0.0.0.0",
        admin_port=8080,
        lease_namespace="",
        lease_name="catfish-operator",
        lease_seconds=15.0,
        identity="",
        log_level="info",
        log_format="auto",
    )


def test_each_field_is_read_from_its_variable():
    environ = {
        "CATFISH_NAMESPACE": "team-a",
        "CATFISH_WORKERS": "3",
        "CATFISH_RESYNC_SECONDS": "7.5",
        "CATFISH_REQUEST_TIMEOUT_SECONDS": "12",
        "CATFISH_ADMIN_HOST": "127.0.0.1",
        "CATFISH_ADMIN_PORT": "0",
        "CATFISH_LEASE_NAMESPACE": "catfish-system",
        "CATFISH_LEASE_NAME": "team-a",
        "CATFISH_LEASE_SECONDS": "6",
        "CATFISH_IDENTITY": "catfish-operator-7d9f-x",
        "CATFISH_LOG_LEVEL": "DEBUG",
        "CATFISH_LOG_FORMAT": "json",
    }
    assert Settings.from_env(environ) == Settings(
        namespace="team-a",
        workers=3,
        resync_seconds=7.5,
        request_timeout_seconds=12,
        admin_host="127.0.0.1",
        admin_port=0,
        lease_namespace="catfish-system",
        lease_name="team-a",
        lease_seconds=6,
        identity="catfish-operator-7d9f-x",
        log_level="debug",
        log_format="json",
    )


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("CATFISH_WORKERS", "0"),
        ("CATFISH_WORKERS", "2.5"),
        ("CATFISH_RESYNC_SECONDS", "61"),
        ("CATFISH_RESYNC_SECONDS", "nan"),
        ("CATFISH_REQUEST_TIMEOUT_SECONDS", "soon"),
        ("CATFISH_ADMIN_PORT", "65536"),
        ("CATFISH_LEASE_SECONDS", "3"),
        ("CATFISH_LOG_LEVEL", "loud"),
        ("CATFISH_LOG_FORMAT", "xml"),
    ],
)
def test_a_bad_value_names_its_variable(name, value):
    with pytest.raises(errors.BadSettings, match=f"^{name}: '{value}'"):
        Settings.from_env({name: value})


@pytest.fixture
def root_logging():
    """Puts the process's logging back as it was."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    levels = {name: logging.getLogger(name).level for name in logs.SILENCED}
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    for name, before in levels.items():
        logging.getLogger(name).setLevel(before)


@pytest.mark.usefixtures("root_logging")
def test_a_log_line_outside_of_a_terminal_is_one_json_object():
    stream = io.StringIO()
    logs.configure(level="info", style="auto", stream=stream)
    logging.getLogger("catfish_operator.x").info("created %s", "Deployment a/b")
    logging.getLogger("kopf.objects").error("Request attempt #1 failed")
    line = json.loads(stream.getvalue())
    assert (line["level"], line["message"]) == ("info", "created Deployment a/b")
