"""Images between the builder and the nodes: no layer is written or sent twice."""

import hashlib
import io
import json
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from localcluster.layout import Exported, Layout

NAME = "docker.io/library/catfish-server:v1"


def digest(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


class Builder:
    """Pushes as buildah does: a blob whose file is there already is not looked into."""

    def __init__(self, *layers: bytes, version: str = "v1") -> None:
        self.diff_ids = [digest(layer) for layer in layers]
        self.layers = dict(zip(self.diff_ids, layers, strict=True))
        self.config = json.dumps({"version": version, "rootfs": {"diff_ids": self.diff_ids}}).encode()
        self.written: list[str] = []

    def push(self, directory: Path, tag: str) -> None:
        blobs = directory / "blobs" / "sha256"
        descriptors = []
        for diff_id, layer in self.layers.items():
            stored, name = b"packed " + layer, digest(b"packed " + layer)
            stand_in = blobs / diff_id.removeprefix("sha256:")
            if stand_in.exists():
                stored, name = stand_in.read_bytes(), diff_id
            else:
                (blobs / name.removeprefix("sha256:")).write_bytes(stored)
                self.written.append(diff_id)
            descriptors.append({"mediaType": "layer", "digest": name, "size": len(stored)})
        manifest = json.dumps(
            {"mediaType": "manifest", "config": {"digest": digest(self.config)}, "layers": descriptors}
        ).encode()
        for blob in (self.config, manifest):
            (blobs / digest(blob).removeprefix("sha256:")).write_bytes(blob)
        index = {"manifests": [{"digest": digest(manifest), "annotations": {"ref": tag}}]}
        (directory / "index.json").write_text(json.dumps(index))

    def export(self, layout: Layout, name: str = NAME) -> Exported:
        return layout.export(name, self.diff_ids, self.push)


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    return Layout(tmp_path)


def unpacked(layout: Layout, image: Exported, *, without: tuple[str, ...] = ()) -> dict[str, bytes]:
    stream = io.BytesIO()
    layout.write(image, stream, without=without)
    stream.seek(0)
    with tarfile.open(fileobj=stream) as archive:
        return {entry.name: archive.extractfile(entry).read() for entry in archive}  # type: ignore[union-attr]


def test_an_archive_holds_a_whole_image_whose_every_blob_hashes_to_its_name(layout: Layout) -> None:
    image = Builder(b"base", b"torch").export(layout)
    files = unpacked(layout, image)
    index = json.loads(files["index.json"])["manifests"]
    assert [entry["annotations"]["io.containerd.image.name"] for entry in index] == [NAME]
    blobs = {name: content for name, content in files.items() if name.startswith("blobs/")}
    assert {f"blobs/{digest(content).replace(':', '/')}" for content in blobs.values()} == set(blobs)
    assert set(blobs) == {f"blobs/{blob.replace(':', '/')}" for blob in [image.digest, *image.blobs]}


def test_a_second_version_writes_only_the_layers_that_are_new(layout: Layout) -> None:
    first = Builder(b"base", b"torch", b"code 1")
    first.export(layout)
    second = Builder(b"base", b"torch", b"code 2", version="v2")
    image = second.export(layout, "docker.io/library/catfish-server:v2")
    assert second.written == [digest(b"code 2")]
    assert unpacked(layout, image)[f"blobs/{digest(b'packed torch').replace(':', '/')}"] == b"packed torch"


def test_a_node_is_sent_only_what_it_lacks(layout: Layout) -> None:
    image = Builder(b"base", b"torch").export(layout)
    whole, part = unpacked(layout, image), unpacked(layout, image, without=tuple(image.blobs[1:]))
    left_out = {name for name in whole if name not in part}
    assert left_out == {f"blobs/{blob.replace(':', '/')}" for blob in image.blobs[1:]}


def test_an_image_exported_before_is_found_by_its_configuration(layout: Layout) -> None:
    image = Builder(b"base").export(layout)
    assert layout.find(NAME, image.config) == image
    assert layout.find(NAME, digest(b"another")) is None
    assert layout.find("docker.io/library/other:v1", image.config) is None


def test_an_image_with_a_blob_missing_is_not_found_and_can_be_exported_again(
    layout: Layout, tmp_path: Path
) -> None:
    builder = Builder(b"base", b"torch")
    image = builder.export(layout)
    (tmp_path / "blobs" / "sha256" / image.blobs[2].removeprefix("sha256:")).unlink()
    assert layout.find(NAME, image.config) is None
    assert builder.export(layout) == image
    assert builder.written.count(digest(b"torch")) == 2


def test_blobs_of_a_replaced_image_are_removed(layout: Layout, tmp_path: Path) -> None:
    Builder(b"base", b"code 1").export(layout)
    image = Builder(b"base", b"code 2").export(layout)
    kept = {f"sha256:{blob.name}" for blob in (tmp_path / "blobs" / "sha256").iterdir()}
    assert kept == {image.digest, *image.blobs}


def test_a_push_that_fails_leaves_no_stand_in_behind(layout: Layout, tmp_path: Path) -> None:
    builder = Builder(b"base", b"torch")
    image = builder.export(layout)

    def fail(directory: Path, tag: str) -> None:
        raise OSError(f"no space for {tag} in {directory}")

    with pytest.raises(OSError, match="no space"):
        layout.export(NAME, builder.diff_ids, fail)
    assert layout.find(NAME, image.config) == image
    assert not [blob for blob in (tmp_path / "blobs" / "sha256").iterdir() if blob.stat().st_size == 0]


def test_a_layer_that_occurs_twice_in_an_image_is_sent_once(layout: Layout) -> None:
    push: Callable[[Path, str], None] = Builder(b"base").push
    image = layout.export(NAME, [digest(b"base")], push)
    doubled = json.loads(image.manifest)
    doubled["layers"] *= 2
    twice = Exported(name=NAME, config=image.config, manifest=json.dumps(doubled).encode())
    stream = io.BytesIO()
    layout.write(twice, stream, without=())
    stream.seek(0)
    with tarfile.open(fileobj=stream) as archive:
        names = archive.getnames()
    assert len(names) == len(set(names))
