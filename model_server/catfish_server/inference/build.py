"""From settings to a classifier that would answer right: fetch, load, prepare, warm up, verify.

Start-up calls it once the probes are answered. Torch, whose import takes seconds and 200 MB, is imported only for
models that need it; an ONNX model is served in an image without it.
"""

import logging
import time
from collections.abc import Callable, Mapping
from importlib.util import find_spec
from typing import TYPE_CHECKING

from catfish_server import cpus, readers
from catfish_server.errors import ArchitectureMismatch, InvalidSpec, NonFiniteWeights, UnsupportedFormat
from catfish_server.inference import bounded, verification
from catfish_server.inference.classifier import Classifier
from catfish_server.inference.prediction import NonFiniteOutput
from catfish_server.inference.prepare import outputs, prepare
from catfish_server.lifecycle import Lifecycle, Stage, Weights
from catfish_server.models import programs
from catfish_server.models.model import Loaded, Runtime
from catfish_server.settings import Settings
from catfish_server.variables import EAGER
from catfish_server.weights import exhausted, fetch, formats, local, location
from catfish_server.weights.location import Location
from catfish_server.weights.sandbox import Sandbox

if TYPE_CHECKING:
    from catfish_server.weights.load import StateDict

logger = logging.getLogger(__name__)

CUDA_THREADS = 2
"""Inference threads in front of one GPU: one copies while the other computes; the CPU quota says nothing of it."""


@exhausted.told()
def classifier(
    settings: Settings,
    env: Mapping[str, str],
    *,
    lifecycle: Lifecycle,
    sandbox: Sandbox,
    tried: Callable[[str, str], None] = lambda _engine, _state: None,
) -> Classifier:
    """The model of the settings: loaded, warm, and right about the golden images.

    Args:
        settings: what to load and how.
        env: the environment, for the credentials of a store.
        lifecycle: told how far it is.
        sandbox: reads pickles; closed afterwards, needed or not.
        tried: told of each engine that is tried later on, and of what became of it.

    Raises:
        StartupFailure: there can be no such classifier.
    """
    loaded, classes = _loaded(settings, env, lifecycle=lifecycle, sandbox=sandbox)
    lifecycle.enter(Stage.WARMING)
    with bounded.to_room(needed=settings.architecture == formats.Format.ONNX):
        model = prepare(loaded, classes=classes, image_size=settings.image_size)
    threads = settings.threads if loaded.device == "cpu" else CUDA_THREADS
    made = Classifier(
        model,
        classes,
        image_size=settings.image_size,
        mean=settings.mean,
        std=settings.std,
        unknown_threshold=settings.unknown_threshold,
        threads=threads,
        timeout_seconds=settings.request_timeout_seconds,
        queue_length=settings.queue_length,
        max_wait_seconds=settings.max_wait_seconds,
        max_batch=settings.max_batch,
        runtime=Runtime(
            engine=loaded.engine,
            device=loaded.device,
            instruction_set=cpus.instruction_set(),
            threads=threads,
        ),
    )
    _warm_up(made, settings)
    _verify(made, settings, lifecycle)
    if settings.architecture not in formats.PROGRAMS and settings.engine != EAGER:
        from catfish_server.inference.engines import start  # noqa: PLC0415 (imports torch)

        start.begin(made, loaded, settings, lifecycle=lifecycle, count=tried)
    return made


def _loaded(
    settings: Settings, env: Mapping[str, str], *, lifecycle: Lifecycle, sandbox: Sandbox
) -> tuple[Loaded, tuple[str, ...]]:
    """The model and its classes, from the weights of the settings."""
    _check_torch(settings)
    _check_vouched(settings)
    began = time.monotonic()
    where = location.parse(settings.location)
    directory = fetch.private_directory(settings.cache_dir)
    fetched = fetch.fetch(
        where,
        directory=directory,
        sha256=settings.sha256,
        endpoint=settings.weights_endpoint,
        env=env,
        progress=lifecycle.progress,
    )
    try:
        kind = local.identify(fetched, location=where, architecture=settings.architecture)
        seconds = time.monotonic() - began
        lifecycle.fetched(
            Weights(sha256=fetched.sha256, size=fetched.size, format=kind, download_seconds=seconds)
        )
        lifecycle.enter(Stage.LOADING)
        logger.info("Loading %s (%s, %d bytes, sha256 %s).", where.shown, kind, fetched.size, fetched.sha256)
        if kind in formats.PROGRAMS:
            loaded = _program(settings, kind, fetched, where)
            classes = _named(settings, loaded.classes)
            return loaded, classes or _numbered(outputs(loaded, image_size=settings.image_size))
        # Not at the top: it imports torch.
        from catfish_server.weights import load  # noqa: PLC0415

        weights = load.load(
            fetched,
            kind=kind,
            location=where,
            directory=directory,
            sandbox=sandbox,
            heartbeat=lambda: lifecycle.progress(0),
        )
        return _of_registry(settings, weights)
    finally:
        fetched.discard()


def _check_torch(settings: Settings) -> None:
    """Refuses in an image without torch what only torch can run, before it is fetched."""
    if settings.architecture != formats.Format.ONNX and find_spec("torch") is None:
        raise InvalidSpec(
            f"spec.model.architecture: is {settings.architecture}, and this image has no PyTorch: it serves only "
            "onnx; use the image with PyTorch, or export the model to ONNX"
        )


def _check_vouched(settings: Settings) -> None:
    """Refuses code of which nobody knows whose it is, before it is fetched."""
    if settings.architecture in formats.CODE and not settings.sha256:
        raise InvalidSpec(
            f"spec.weights.sha256: is required where spec.model.architecture is {settings.architecture}: such a "
            "file is code that runs in the pod, and the digest is the only proof that it is yours"
        )


def _program(settings: Settings, kind: formats.Format, fetched: fetch.Fetched, where: Location) -> Loaded:
    with bounded.to_room(needed=kind == formats.Format.ONNX):
        return programs.load(
            kind,
            fetched,
            location=where,
            image_size=settings.image_size,
            mean=settings.mean,
            std=settings.std,
        )


def _of_registry(settings: Settings, weights: "StateDict") -> tuple[Loaded, tuple[str, ...]]:
    # Not at the top: they import torch.
    from catfish_server.inference.engines import modules  # noqa: PLC0415
    from catfish_server.models import heads, registry  # noqa: PLC0415
    from catfish_server.models.module import TorchModel  # noqa: PLC0415

    classes = _named(settings, weights.classes)
    module = registry.build(
        settings.architecture,
        weights.tensors,
        classes=classes or None,
        image_size=settings.image_size,
        head_hidden=settings.head_hidden,
    )
    TorchModel.channels_last(module)
    place = modules.device()
    loaded = Loaded(
        model=modules.on(place, module), reference=None, classes=weights.classes, device=str(place)
    )
    return loaded, classes or _numbered(heads.outputs(module))


def _named(settings: Settings, in_file: str | None) -> tuple[str, ...]:
    """The classes of the spec, or those that the weights name; empty where nobody names them and nobody must.

    A revision that the operator rolls out must: its callers rely on the names, and the next one may have others.
    """
    classes = named(settings.classes, in_file)
    if not classes and settings.revision is not None:
        raise InvalidSpec("spec.model.classes: is required: the weights do not name their classes")
    return classes


def _numbered(count: int) -> tuple[str, ...]:
    """A number for each output, in the place of names."""
    if count < 2:
        raise ArchitectureMismatch(
            f"spec.model.classes: a classifier has at least two of them, and the model's output has {count}"
        )
    logger.warning(
        "Nobody names the model's %d classes, so they are numbered from 0 to %d; name them in the order of the "
        "outputs with --classes or CATFISH_CLASSES.",
        count,
        count - 1,
    )
    return tuple(map(str, range(count)))


def named(given: tuple[str, ...], in_file: str | None) -> tuple[str, ...]:
    """The classes that are given, or those that the file names; empty where there are neither.

    Raises:
        UnsupportedFormat: the file's cannot be read.
        ArchitectureMismatch: both name the same ones in different order.
    """
    if in_file is None:
        return given
    try:
        found = readers.classes(in_file)
    except ValueError as error:
        raise UnsupportedFormat(f"spec.weights.url: the classes in the weights' metadata {error}") from error
    # Other names are a translation; the same names in another order are a mistake that no pod would show.
    if given and sorted(given) == sorted(found) and given != found:
        raise ArchitectureMismatch(
            f"spec.model.classes: are in another order than in the weights: {', '.join(found)[:500]}"
        )
    return given or found


def _warm_up(made: Classifier, settings: Settings) -> None:
    """Asks the classifier, so that the first caller does not pay for what happens only once."""
    try:
        with exhausted.told():
            made.warm_up()
    except NonFiniteOutput as error:
        raise NonFiniteWeights(
            "spec.weights.url: the model answers a grey image with NaN or infinity"
        ) from error
    except (RuntimeError, AssertionError, ValueError) as error:
        exhausted.log_cause(error)
        raise InvalidSpec(
            f"spec.model.imageSize: {settings.architecture} takes no images of {settings.image_size} pixels"
        ) from error


def _verify(made: Classifier, settings: Settings, lifecycle: Lifecycle) -> None:
    """Asks the classifier for the golden images, where the settings name some."""
    if not settings.verification_samples:
        return
    lifecycle.enter(Stage.VERIFYING)
    score = verification.verify(
        made,
        settings.verification_samples,
        directory=settings.verification_dir,
        min_accuracy=settings.verification_min_accuracy,
        max_pixels=settings.max_pixels,
        formats=settings.image_formats,
        progress=lifecycle.progress,
    )
    lifecycle.verified(score)
    logger.info("%d of %d golden images were answered right.", score.right, score.total)
