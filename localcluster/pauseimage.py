"""The image of the process that holds a pod's namespaces: one static program, packed without a builder."""

import hashlib
import io
import json
import platform
import tarfile
from pathlib import Path

from localcluster.nodeconfig import PAUSE_IMAGE

_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


def pack(program: Path, archive: Path) -> Path:
    """Writes an archive that `ctr images import` reads, and returns it.

    Args:
        program: the static executable.
        archive: the file to write; one that exists is kept.
    """
    if archive.exists():
        return archive
    layer = _tar({"pause": program.read_bytes()}, mode=0o755)
    machine = platform.machine()
    config = {
        "architecture": _ARCHITECTURES.get(machine, machine),
        "os": "linux",
        "config": {"Entrypoint": ["/pause"], "User": "65535:65535"},
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{hashlib.sha256(layer).hexdigest()}"]},
    }
    manifest = [{"Config": "config.json", "RepoTags": [PAUSE_IMAGE], "Layers": ["layer.tar"]}]
    files = {
        "config.json": json.dumps(config).encode(),
        "layer.tar": layer,
        "manifest.json": json.dumps(manifest).encode(),
    }
    archive.parent.mkdir(parents=True, exist_ok=True)
    part = archive.with_suffix(".part")
    part.write_bytes(_tar(files, mode=0o644))
    part.rename(archive)
    return archive


def _tar(files: dict[str, bytes], *, mode: int) -> bytes:
    """A tar archive of these files that is the same every time: without owners and dates."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(content), mode
            tar.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()
