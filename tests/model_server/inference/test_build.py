"""From settings to a classifier, with real files of every format."""

import hashlib

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torchvision import models

from catfish_server import errors
from catfish_server.inference.engine import TooManyImages
from catfish_server.lifecycle import Lifecycle, Stage
from tests.model_server import whole_models
from tests.model_server.whole_models import SIZE, images

KINDS = {"torchscript": "torchscript", "exported": "exported", "onnx": "onnx", "int8": "onnx"}


@pytest.mark.parametrize("kind", KINDS)
def test_a_whole_model_answers_with_the_classes_that_it_names(built, files, kind):
    lifecycle = Lifecycle()
    classifier = built(files.path(kind), architecture=KINDS[kind], lifecycle=lifecycle)
    assert classifier.classes == ("cat", "fish")
    known = lifecycle.snapshot().weights
    content = files.path(kind).read_bytes()
    assert (known.format, known.size, known.sha256) == (
        KINDS[kind],
        len(content),
        hashlib.sha256(content).hexdigest(),
    )
    assert lifecycle.snapshot().stage is Stage.WARMING


@pytest.mark.parametrize("kind", KINDS)
def test_a_whole_model_answers_several_images_as_it_answers_each(built, files, kind):
    classifier = built(files.path(kind), architecture=KINDS[kind])
    batch = torch.cat(list(images(6, seed=4))).numpy()
    together = classifier.infer(batch)
    alone = [classifier.infer(batch[number : number + 1]) for number in range(len(batch))]
    np.testing.assert_allclose(together, np.concatenate(alone), rtol=1e-3, atol=1e-3)
    assert np.ptp(together[:, 0]) > 0.1


@pytest.mark.parametrize(
    ("kind", "engine"),
    [("torchscript", "torchscript"), ("exported", "torch"), ("onnx", "onnxruntime")],
)
def test_it_is_known_what_runs_the_model(built, files, kind, engine):
    runtime = built(files.path(kind), architecture=kind).runtime
    assert (runtime.engine, runtime.device, runtime.threads) == (engine, "cpu", 1)


def test_the_spec_may_translate_the_names_of_the_classes(built, files):
    assert built(files.path("onnx"), architecture="onnx", classes=("Katze", "Fisch")).classes == (
        "Katze",
        "Fisch",
    )


def test_the_same_classes_in_another_order_are_a_mistake(built, files):
    with pytest.raises(
        errors.ArchitectureMismatch, match=r"^spec\.model\.classes: .*another order.*: cat, fish$"
    ):
        built(files.path("onnx"), architecture="onnx", classes=("fish", "cat"))


@pytest.mark.parametrize("architecture", ["torchscript", "exported"])
def test_code_is_not_even_fetched_without_its_digest(built, files, architecture):
    lifecycle = Lifecycle()
    with pytest.raises(errors.InvalidSpec, match=r"^spec\.weights\.sha256: is required where"):
        built(files.path(architecture), vouched=False, architecture=architecture, lifecycle=lifecycle)
    assert (lifecycle.snapshot().done, lifecycle.snapshot().weights) == (0, None)


def test_an_onnx_model_is_no_code_and_needs_no_digest(built, files):
    assert built(files.path("onnx"), vouched=False, architecture="onnx").classes == ("cat", "fish")


@pytest.mark.parametrize("kind", ["torchscript", "exported"])
@pytest.mark.parametrize("vouched", [True, False])
def test_code_is_not_run_where_weights_are_expected(built, files, kind, vouched):
    with pytest.raises(
        errors.UnsupportedFormat, match=f"set spec.*spec.model.architecture to {kind}|to {kind}, or"
    ):
        built(files.path(kind), vouched=vouched, architecture="resnet18", classes=("cat", "fish"))


def test_another_size_than_the_model_was_exported_for_is_told(built, files):
    with pytest.raises(errors.InvalidSpec, match=r"^spec\.model\.imageSize: .*\[1, 3, 32, 32\]"):
        built(resized(files), architecture="onnx")


def resized(files):
    import onnx

    document = onnx.load(files.path("onnx"))
    for axis in (2, 3):
        document.graph.input[0].type.tensor_type.shape.dim[axis].dim_value = 48
    onnx.save(document, files.path("onnx-48"))
    return files.path("onnx-48")


def saved(tmp_path, classes, outputs=2):
    path = tmp_path / "w.safetensors"
    torch.manual_seed(7)
    state = models.resnet18(weights=None, num_classes=outputs).state_dict()
    save_file(state, path, metadata={"classes": classes} if classes else None)
    return path


@pytest.mark.parametrize("classes", ['["cat", "fish"]', "cat, fish"])
def test_safetensors_may_name_their_classes(built, tmp_path, classes):
    assert built(saved(tmp_path, classes), architecture="resnet18").classes == ("cat", "fish")


@pytest.mark.parametrize(
    ("classes", "failure", "says"),
    [
        (
            "cat",
            errors.UnsupportedFormat,
            r"^spec\.weights\.url: the classes in the weights' metadata must name",
        ),
        ("a,b,c", errors.ArchitectureMismatch, r"^spec\.model\.classes: names 3 classes, and .* 2 outputs"),
    ],
)
def test_classes_that_cannot_be_used_are_told(built, tmp_path, classes, failure, says):
    with pytest.raises(failure, match=says):
        built(saved(tmp_path, classes), architecture="resnet18")


def test_what_may_wait_and_for_how_long_is_as_the_settings_say(built, files):
    made = built(files.path("onnx"), architecture="onnx", queue_length=7, max_wait_seconds=0.5, max_batch=3)
    engine = made.engine
    assert (engine._queue_length, engine._max_wait_seconds, engine._max_batch) == (7, 0.5, 3)
    with pytest.raises(TooManyImages, match="more than 7 images"):
        made.infer(np.zeros((8, 3, SIZE, SIZE), np.float32))


def nameless(tmp_path, kind, files):
    """A file that names no classes, and the architecture that it is served as."""
    if kind == "safetensors":
        return saved(tmp_path, None), "resnet18"
    path = tmp_path / kind
    getattr(whole_models, f"save_{kind}")(files.network, path, classes=None)
    return path, kind


NAMELESS = ["safetensors", "torchscript", "exported", "onnx"]


@pytest.mark.parametrize("kind", NAMELESS)
def test_classes_that_nobody_names_are_numbered_and_one_line_says_so(built, tmp_path, files, caplog, kind):
    path, architecture = nameless(tmp_path, kind, files)
    assert built(path, architecture=architecture).classes == ("0", "1")
    (told,) = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert told == (
        "Nobody names the model's 2 classes, so they are numbered from 0 to 1; name them in the order of the "
        "outputs with --classes or CATFISH_CLASSES."
    )


@pytest.mark.parametrize("kind", NAMELESS)
def test_a_revision_that_is_rolled_out_must_name_its_classes(built, tmp_path, files, kind):
    path, architecture = nameless(tmp_path, kind, files)
    with pytest.raises(
        errors.InvalidSpec,
        match=r"^spec\.model\.classes: is required: the weights do not name their classes$",
    ):
        built(path, architecture=architecture, revision="cat-5d8f")


def test_one_output_is_no_choice_of_classes(built, tmp_path):
    with pytest.raises(
        errors.ArchitectureMismatch, match=r"^spec\.model\.classes: .* at least two .* has 1$"
    ):
        built(saved(tmp_path, None, outputs=1), architecture="resnet18")
