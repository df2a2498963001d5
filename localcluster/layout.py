"""Images outside of the engine's own store: an OCI layout in the cache, from which nodes get what they lack.

buildah compresses every layer on every push, and with torch that is most of a minute. So the layout remembers
which blob a layer became, and the next push finds an empty stand-in under the name of each layer that is
known already: the image library takes a file of that name for the blob itself, and skips the layer.
TryReusingBlob: https://github.com/containers/image/blob/v5.23.1/oci/layout/oci_dest.go
Layout: https://github.com/opencontainers/image-spec/blob/main/image-layout.md
"""

import hashlib
import io
import json
import shutil
import tarfile
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

Push = Callable[[Path, str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Exported:
    """An image whose blobs all lie in a layout.

    Attributes:
        name: the full name, as containerd and the kubelet spell it.
        config: the digest of its configuration, which is the image's identity.
        manifest: the bytes of its manifest.
    """

    name: str
    config: str
    manifest: bytes

    @property
    def digest(self) -> str:
        """The digest of the manifest."""
        return _digest(self.manifest)

    @property
    def blobs(self) -> list[str]:
        """The digests of configuration and layers."""
        return [self.config, *(layer["digest"] for layer in json.loads(self.manifest)["layers"])]


class Layout:
    """An OCI image layout in a directory; one process at a time may write to it."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._blobs = directory / "blobs" / "sha256"
        self._known = directory / "layers.json"  # digest of the uncompressed layer -> its descriptor
        self._images = directory / "images.json"  # name -> digest of the manifest

    def find(self, name: str, config: str) -> Exported | None:
        """The image as exported before, if that was this very one."""
        manifest = self._blob(self._read(self._images).get(name, "sha256:"))
        if not manifest.is_file():
            return None
        found = Exported(name=name, config=config, manifest=manifest.read_bytes())
        same = json.loads(found.manifest)["config"]["digest"] == config
        return found if same and all(self._blob(blob).is_file() for blob in found.blobs) else None

    def export(self, name: str, layers: Collection[str], push: Push) -> Exported:
        """Writes an image into the layout, but none of its layers twice.

        Args:
            name: the full name to record it under.
            layers: the digests of its uncompressed layers, as far as they are known.
            push: writes the image into the layout's directory under a tag.
        """
        self._blobs.mkdir(parents=True, exist_ok=True)
        known = {
            layer: blob
            for layer, blob in self._read(self._known).items()
            if self._blob(blob["digest"]).is_file()
        }
        stand_ins = [
            self._blob(layer) for layer in layers if layer in known and not self._blob(layer).exists()
        ]
        try:
            for stand_in in stand_ins:
                stand_in.touch()
            push(self._directory, "pushed")
        finally:
            for stand_in in stand_ins:
                stand_in.unlink(missing_ok=True)
        pushed = json.loads((self._directory / "index.json").read_text())
        manifest = json.loads(self._blob(pushed["manifests"][-1]["digest"]).read_bytes())
        (self._directory / "index.json").unlink()
        config = manifest["config"]["digest"]
        inside = json.loads(self._blob(config).read_bytes())["rootfs"]["diff_ids"]
        manifest["layers"] = [
            known.get(layer, blob) for layer, blob in zip(inside, manifest["layers"], strict=True)
        ]
        known.update(zip(inside, manifest["layers"], strict=True))
        exported = Exported(name=name, config=config, manifest=json.dumps(manifest, indent=1).encode())
        self._blob(exported.digest).write_bytes(exported.manifest)
        self._write(self._known, known)
        self._write(self._images, self._read(self._images) | {name: exported.digest})
        self._prune()
        return exported

    def write(self, image: Exported, stream: IO[bytes], *, without: Collection[str]) -> int:
        """Writes the image as a tar archive and returns the bytes of the blobs in it.

        containerd reads a layer only when it unpacks it, so blobs that it has already may be left out.

        Args:
            image: what `find` or `export` returned.
            stream: where to; it is not sought in.
            without: digests of the blobs to leave out.
        """
        descriptor = {
            "mediaType": json.loads(image.manifest)["mediaType"],
            "digest": image.digest,
            "size": len(image.manifest),
            "annotations": {"io.containerd.image.name": image.name},
        }
        written = 0
        with tarfile.open(fileobj=stream, mode="w|") as archive:
            _add(archive, "oci-layout", b'{"imageLayoutVersion":"1.0.0"}')
            for digest in dict.fromkeys(blob for blob in image.blobs if blob not in without):
                path = self._blob(digest)
                entry = tarfile.TarInfo(_inside(digest))
                entry.size = path.stat().st_size
                with path.open("rb") as blob:
                    archive.addfile(entry, blob)
                written += entry.size
            _add(archive, _inside(image.digest), image.manifest)
            index = {"schemaVersion": 2, "manifests": [descriptor]}
            _add(archive, "index.json", json.dumps(index).encode())
        return written

    def _prune(self) -> None:
        """Removes the blobs of images that newer ones of their name replaced, and what a killed push left."""
        used = set()
        for name, digest in self._read(self._images).items():
            manifest = self._blob(digest).read_bytes()
            image = Exported(name=name, config=json.loads(manifest)["config"]["digest"], manifest=manifest)
            used |= {digest, *image.blobs}
        for blob in self._blobs.iterdir():
            if f"sha256:{blob.name}" not in used:
                blob.unlink()
        for leftover in self._directory.glob("oci-put-blob*"):
            leftover.unlink()

    def _blob(self, digest: str) -> Path:
        return self._blobs / digest.removeprefix("sha256:")

    @staticmethod
    def _read(path: Path) -> dict[str, Any]:
        return dict(json.loads(path.read_text())) if path.exists() else {}

    @staticmethod
    def _write(path: Path, content: Mapping[str, Any]) -> None:
        part = path.with_suffix(".part")
        part.write_text(json.dumps(content, indent=1))
        part.rename(path)


def clear(directory: Path) -> None:
    """Forgets everything that was exported."""
    if directory.exists():
        shutil.rmtree(directory)


def _inside(digest: str) -> str:
    return "/".join(("blobs", *digest.split(":")))


def _add(archive: tarfile.TarFile, name: str, content: bytes) -> None:
    entry = tarfile.TarInfo(name)
    entry.size = len(content)
    archive.addfile(entry, io.BytesIO(content))


def _digest(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"
