"""A model's file as bytes: its format and its digest, which need no package but Python's own."""

import hashlib
from pathlib import Path

from catfish_server.errors import StartupFailure
from catfish_server.tools.errors import ToolFailure
from catfish_server.weights import formats
from catfish_server.weights.formats import Format


def identify(path: Path) -> Format:
    """The format of a file, told by its bytes.

    Raises:
        ToolFailure: it is none that is read, or cannot be read.
    """
    try:
        if not path.is_file():
            raise ToolFailure(f"{path}: {'is not a file' if path.exists() else 'there is no such file'}")
        return formats.identify(path, vouched=True)
    except StartupFailure as failure:
        raise ToolFailure(f"{path} {failure}") from failure
    except OSError as error:
        raise ToolFailure(f"{path}: cannot be read: {error.strerror}") from error


def sha256(path: Path) -> str:
    """The digest of a file's bytes, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
