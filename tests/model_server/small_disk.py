"""A disk that is small, really: a tmpfs of its own, which root alone may mount."""

import os
import subprocess
from contextlib import contextmanager

import pytest


@contextmanager
def mounted(folder, size):
    """Mounts a disk of so many bytes at a new folder."""
    if os.geteuid() != 0:
        pytest.skip("a small disk is mounted by root alone")
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
    done = subprocess.run(mount, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"nobody may mount a small disk here: {done.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)
