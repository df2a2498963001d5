"""How log lines look: JSON in the cluster, readable on a terminal. No traceback above DEBUG."""

import json
import logging
import sys
from datetime import UTC, datetime
from typing import TextIO

# Libraries that speak of their own workings at INFO and WARNING: kopf reports each event as a success, each
# retry as an error and the lack of signal handlers (we have our own). What matters of it, the resync says
# in our words.
SILENCED = ("kopf", "asyncio", "aiohttp", "kubernetes")


class JsonLines(logging.Formatter):
    """One JSON object a line."""

    def format(self, record: logging.LogRecord) -> str:
        """Returns the line without its end."""
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False)


def configure(*, level: str, style: str, stream: TextIO = sys.stderr) -> None:
    """Sets up logging for the whole process.

    Args:
        level: the lowest level that is shown of ours; at `debug` the libraries speak as well.
        style: `json`, `text`, or `auto`: text on a terminal.
        stream: where the lines go.
    """
    handler = logging.StreamHandler(stream)
    if style == "json" or (style == "auto" and not stream.isatty()):
        handler.setFormatter(JsonLines())
    else:
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)-7s %(message)s", "%H:%M:%S"))
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    for name in SILENCED:
        logging.getLogger(name).setLevel(logging.INFO if level == "debug" else logging.CRITICAL)
