"""Runs the system's tools (ip, mount, ctr, ...) and turns their failures into readable errors."""

import subprocess
from collections.abc import Mapping
from pathlib import Path

from localcluster.errors import LocalClusterError


def run(
    *argv: str | Path,
    check: bool = True,
    stdin: str | None = None,
    env: Mapping[str, str] | None = None,
    timeout: float = 120,
) -> str:
    """Returns what the command wrote to stdout.

    Args:
        argv: the program and its arguments; no shell is involved.
        check: whether a non-zero exit is an error; if not, the output so far is returned.
        stdin: text for the command's standard input.
        env: the whole environment; None hands on ours.
        timeout: seconds until the command counts as hung.

    Raises:
        LocalClusterError: the program is missing, failed or hung; its last line of stderr is quoted.
    """
    words = [str(word) for word in argv]
    try:
        done = subprocess.run(
            words, capture_output=True, text=True, input=stdin, env=env, timeout=timeout, check=False
        )
    except FileNotFoundError:
        raise LocalClusterError(f"{words[0]} is not installed or not on PATH") from None
    except subprocess.TimeoutExpired:
        raise LocalClusterError(f"`{' '.join(words)}` did not end within {timeout:.0f} s") from None
    if check and done.returncode != 0:
        said = (done.stderr.strip() or done.stdout.strip() or "no message").splitlines()[-1]
        raise LocalClusterError(f"`{' '.join(words)}` failed: {said}")
    return done.stdout
