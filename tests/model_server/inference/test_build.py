"""From settings to a classifier, with real files of every format."""

import hashlib
import resource

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torchvision import models

from catfish_server import errors
from catfish_server.inference import bounded, build, exhausted
from catfish_server.inference.engine import TooManyImages
from catfish_server.inference.engines import memory
from catfish_server.lifecycle import Lifecycle, Stage
from catfish_server.settings import Settings
from catfish_server.weights.sandbox import Sandbox
from tests.model_server.whole_models import SIZE, images


@pytest.fixture
def built(tmp_path):
    made = []

    def build_it(path, *, vouched=True, lifecycle=None, **settings):
        sha256 = hashlib.sha256(path.read_bytes()).hexdigest() if vouched else None
        chosen = Settings(
            location=str(path), sha256=sha256, image_size=SIZE, cache_dir=tmp_path, threads=1, **settings
        )
        sandbox = Sandbox(likely=False)
        try:
            made.append(build.classifier(chosen, {}, lifecycle=lifecycle or Lifecycle(), sandbox=sandbox))
        finally:
            sandbox.close()
        return made[-1]

    yield build_it
    for classifier in made:
        classifier.close()


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


def saved(tmp_path, classes):
    path = tmp_path / "w.safetensors"
    torch.manual_seed(7)
    state = models.resnet18(weights=None, num_classes=2).state_dict()
    save_file(state, path, metadata={"classes": classes} if classes else None)
    return path


@pytest.mark.parametrize("classes", ['["cat", "fish"]', "cat, fish"])
def test_safetensors_may_name_their_classes(built, tmp_path, classes):
    assert built(saved(tmp_path, classes), architecture="resnet18").classes == ("cat", "fish")


@pytest.mark.parametrize(
    ("classes", "failure", "says"),
    [
        (None, errors.InvalidSpec, r"^spec\.model\.classes: is required: the weights do not name"),
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


GPU, POD = r"^spec\.resources\.limits: the GPU", r"^spec\.resources\.limits\.memory: is not enough"


@pytest.mark.parametrize(
    ("error", "failure", "says"),
    [
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB."), errors.OutOfMemory, GPU),
        (RuntimeError("CUDA error: out of memory\nCompile with"), errors.OutOfMemory, GPU),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling"), errors.OutOfMemory, GPU),
        (RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"), errors.OutOfMemory, GPU),
        (RuntimeError("[enforce] DefaultCPUAllocator: can't allocate memory: you"), errors.OutOfMemory, POD),
        (MemoryError(), errors.OutOfMemory, POD),
        (
            RuntimeError("mat1 and mat2 shapes cannot be multiplied"),
            errors.InvalidSpec,
            r"^spec\.model\.imageSize",
        ),
    ],
    ids=["torch", "driver", "cublas", "cudnn", "cpu", "python", "no memory"],
)
def test_memory_that_ran_out_while_it_warms_up_is_told_apart(
    built, tmp_path, monkeypatch, caplog, *, error, failure, says
):
    def warm_up(_):
        raise error

    monkeypatch.setattr(build.Classifier, "warm_up", warm_up)
    with pytest.raises(failure, match=says) as caught:
        built(saved(tmp_path, '["cat", "fish"]'), architecture="resnet18")
    assert caught.value.retriable == (failure is errors.OutOfMemory)
    (line,) = [found.getMessage() for found in caplog.records if found.name == exhausted.logger.name]
    assert line == f"The model does not run: {type(error).__name__}: {str(error).partition(chr(10))[0]}"


def test_a_gpu_without_room_for_the_weights_is_told_as_well(built, tmp_path, monkeypatch):
    from catfish_server.inference.engines import modules

    def on(_place, _module):
        raise torch.OutOfMemoryError("CUDA out of memory.")

    monkeypatch.setattr(modules, "on", on)
    with pytest.raises(errors.OutOfMemory, match=GPU):
        built(saved(tmp_path, '["cat", "fish"]'), architecture="resnet18")


MIB = 2**20


def hungry(tmp_path, floats):
    """A kilobyte of ONNX that asks for so many floats."""
    import onnx
    from onnx import TensorProto, helper

    nodes = [
        helper.make_node("ConstantOfShape", ["shape"], ["many"]),
        helper.make_node("ReduceSum", ["many"], ["none"], keepdims=0),
        helper.make_node("GlobalAveragePool", ["images"], ["means"]),
        helper.make_node("Flatten", ["means"], ["flat"]),
        helper.make_node("Add", ["flat", "none"], ["logits"]),
    ]
    graph = helper.make_graph(
        nodes,
        "hungry",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, [1, 3, SIZE, SIZE])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, [1, 3])],
        [helper.make_tensor("shape", TensorProto.INT64, [1], [floats])],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    path = tmp_path / "hungry.onnx"
    onnx.save(made, path)
    assert path.stat().st_size < 1000
    return path


def test_an_onnx_model_that_asks_for_more_memory_than_is_left_ends_with_a_sentence(
    built, tmp_path, monkeypatch
):
    before, asked = resource.getrlimit(resource.RLIMIT_AS), []
    real = resource.setrlimit
    monkeypatch.setattr(resource, "setrlimit", lambda *limit: (asked.append(limit), real(*limit)))
    monkeypatch.setattr(memory, "room", lambda: 64 * MIB)
    with pytest.raises(errors.UnsafeWeights, match=r"^spec\.weights\.url: .*memory"):
        built(hungry(tmp_path, 128 * MIB), architecture="onnx", classes=("a", "b", "c"))
    assert resource.getrlimit(resource.RLIMIT_AS) == before
    assert len(asked) >= 2


def test_an_onnx_model_that_fits_is_bounded_while_it_gets_ready_and_not_after(built, files, monkeypatch):
    before, seen = resource.getrlimit(resource.RLIMIT_AS), []
    real = build.prepare

    def prepare(*arguments, **more):
        seen.append(resource.getrlimit(resource.RLIMIT_AS)[0])
        return real(*arguments, **more)

    monkeypatch.setattr(build, "prepare", prepare)
    monkeypatch.setattr(memory, "room", lambda: 8 * 1024 * MIB)
    built(files.path("onnx"), architecture="onnx")
    built(files.path("torchscript"), architecture="torchscript")
    assert 8 * 1024 * MIB < seen[0] != before[0]
    assert seen[1] == resource.getrlimit(resource.RLIMIT_AS)[0] == before[0]


def test_without_what_tells_of_this_process_there_is_no_bound(tmp_path):
    before = resource.getrlimit(resource.RLIMIT_AS)
    with bounded.to_room(needed=True, status=tmp_path / "status"):
        assert resource.getrlimit(resource.RLIMIT_AS) == before
