"""The programs that can build an image from a Dockerfile: docker, where its daemon answers, else buildah."""

import json
import os
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from localcluster import baseimage, build, pipconf
from localcluster.commands import run
from localcluster.errors import LocalClusterError

PATIENCE_SECONDS = 30.0
_HOUR = 3600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """An image to build.

    Attributes:
        name: the name it gets.
        context: the directory that the Dockerfile copies from.
        dockerfile: the Dockerfile.
        arguments: build arguments; they stay readable in the image's history.
        labels: labels beside those of the Dockerfile.
        secrets: files that steps may read by these ids; nothing of them stays in the image.
        contexts: what stands for stages of the Dockerfile: a directory, or `docker-image://` and a name.
        target: the stage to build; None for the last.
    """

    name: str
    context: Path
    dockerfile: Path
    arguments: Mapping[str, str] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)
    secrets: Mapping[str, Path] = field(default_factory=dict)
    contexts: Mapping[str, str] = field(default_factory=dict)
    target: str | None = None

    @property
    def options(self) -> list[str]:
        """The options that docker and buildah spell alike, and the context."""
        words = ["--file", str(self.dockerfile), "--tag", self.name]
        for key, value in self.arguments.items():
            words += ["--build-arg", f"{key}={value}"]
        for key, value in self.labels.items():
            words += ["--label", f"{key}={value}"]
        for key, path in self.secrets.items():
            words += ["--secret", f"id={key},src={path}"]
        for stage, source in self.contexts.items():
            words += ["--build-context", f"{stage}={source}"]
        if self.target:
            words += ["--target", self.target]
        return [*words, str(self.context)]


class Engine(Protocol):
    """What a builder of images must be able to do."""

    @property
    def name(self) -> str:
        """The program."""

    def labels(self, image: str) -> Mapping[str, str] | None:
        """The labels of an image; None if there is no such image."""

    def prepare(self, report: build.Report) -> None:
        """Sees to it that the base image is there."""

    def command(self, order: Order) -> tuple[list[str], Mapping[str, str]]:
        """The command that builds, and its environment."""


class Docker:
    """docker with BuildKit. It pulls the base image by itself."""

    name = "docker"

    def labels(self, image: str) -> Mapping[str, str] | None:
        """See `Engine`."""
        found = run("docker", "image", "inspect", "--format", "{{json .Config.Labels}}", image, check=False)
        return json.loads(found) or {} if found.strip() else None

    def prepare(self, report: build.Report) -> None:
        """See `Engine`."""
        if self.labels(baseimage.NAME) is None and not _registry_answers():
            run(
                "docker",
                "import",
                "--change",
                'CMD ["python3"]',
                baseimage.archive(report),
                baseimage.NAME,
                timeout=_HOUR,
            )

    def command(self, order: Order) -> tuple[list[str], Mapping[str, str]]:
        """See `Engine`."""
        environment = {**os.environ, "DOCKER_BUILDKIT": "1", "BUILDKIT_PROGRESS": "plain"}
        return ["docker", "build", "--network=host", *order.options], environment


class Buildah:
    """buildah, which needs no daemon. Its chroot isolation also works where crun refuses hybrid cgroups."""

    name = "buildah"

    def labels(self, image: str) -> Mapping[str, str] | None:
        """See `Engine`."""
        found = self.inspect(image)
        return None if found is None else found["OCIv1"].get("config", {}).get("Labels") or {}

    def inspect(self, image: str) -> dict[str, Any] | None:
        """What buildah knows of an image of its store; None if there is no such image."""
        found = run("buildah", "inspect", "--type", "image", image, env=self.environment(), check=False)
        return dict(json.loads(found)) if found.strip() else None

    def push(self, image: str, directory: Path, tag: str) -> None:
        """Writes an image into an OCI layout."""
        run(
            "buildah",
            "push",
            "--quiet",
            image,
            f"oci:{directory}:{tag}",
            env=self.environment(),
            timeout=_HOUR,
        )

    def prepare(self, report: build.Report) -> None:
        """See `Engine`."""
        if self.inspect(baseimage.NAME) is not None:
            return
        if _registry_answers():
            report(f"pulling {baseimage.NAME}")
            run("buildah", "pull", "--quiet", baseimage.NAME, env=self.environment(), timeout=_HOUR)
            return
        archive = baseimage.archive(report)
        with tempfile.TemporaryDirectory() as folder:
            dockerfile = Path(folder) / "Dockerfile"
            dockerfile.write_text('FROM scratch\nADD base.tar /\nCMD ["python3"]\n')
            shutil.copy(archive, Path(folder) / "base.tar")
            order = Order(name=baseimage.NAME, context=Path(folder), dockerfile=dockerfile)
            argv, environment = self.command(order)
            # A fixed time gives a fixed id.
            run(*argv[:2], "--timestamp", "0", *argv[2:], env=environment, timeout=_HOUR)

    def command(self, order: Order) -> tuple[list[str], Mapping[str, str]]:
        """See `Engine`.

        Without its cache: buildah 1.28 cannot mount a stage that it found there (`RUN --mount=from=`).
        """
        return [
            "buildah",
            "bud",
            "--pull-never",
            "--layers",
            "--no-cache",
            *order.options,
        ], self.environment()

    def environment(self) -> Mapping[str, str]:
        """Our environment with what buildah must be told through its own."""
        return {"BUILDAH_ISOLATION": "chroot", **os.environ}


def docker_answers() -> bool:
    """Whether docker is here and its daemon answers; one that hangs for half a minute does not."""
    if not shutil.which("docker"):
        return False
    try:
        return bool(
            run("docker", "version", "--format", "{{.Server.Version}}", timeout=PATIENCE_SECONDS).strip()
        )
    except LocalClusterError:
        return False


def choose() -> Docker | Buildah:
    """Returns docker if its daemon answers, else buildah.

    Raises:
        LocalClusterError: there is neither.
    """
    if docker_answers():
        return Docker()
    if shutil.which("buildah"):
        return Buildah()
    raise LocalClusterError(
        "building images takes docker (with its daemon running) or buildah: apt install buildah"
    )


def _registry_answers() -> bool:
    return pipconf.reachable(baseimage.REGISTRY)
