"""What a person and a program read when a verb fails: one line with the cause, and one JSON object."""

import json
import logging
import os
import shutil

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from torch import nn

from catfish_server.errors import InvalidSpec, UnsupportedFormat
from catfish_server.tools.__main__ import run
from catfish_server.tools.errors import ToolFailure, cause, failure_of, one_line, translated
from tests.model_server.whole_models import save_onnx

pytestmark = pytest.mark.filterwarnings(r"ignore:`torch\.jit\.\w+` is deprecated:DeprecationWarning")


class Reshapes(nn.Module):
    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return images.reshape(7, 11)


class Asserts(nn.Module):
    def forward(self, images: torch.Tensor) -> torch.Tensor:
        assert images.size(2) > 3000, "it is too small"
        return images.mean(dim=[2, 3])


class Foreign(nn.Module):
    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return os.getpid() * images


class Nothing(nn.Module):
    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return images.mean(dim=[2, 3])[:, :0]


class Depends(nn.Module):
    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return images if images.sum() > 0 else -images


def scripted(module):
    torch.jit.script(module)(torch.zeros(1, 3, 8, 8))


def exported(module):
    torch.export.export(module, (torch.zeros(1, 3, 8, 8),))


def exported_to_onnx(module):
    torch.onnx.export(module, (torch.zeros(1, 3, 8, 8),), None, dynamo=True, verbose=False)


def loaded_by_onnxruntime(_):
    onnxruntime.InferenceSession(b"no model", providers=["CPUExecutionProvider"])


REAL = {
    "the interpreter of TorchScript": (
        scripted,
        Reshapes(),
        "shape '[7, 11]' is invalid for input of size 192",
    ),
    "an assertion in TorchScript": (scripted, Asserts(), "AssertionError: it is too small"),
    "the compiler of TorchScript": (scripted, Foreign(), "Python builtin <built-in function getpid>"),
    "torch.export": (exported, Depends(), "Could not guard on data-dependent expression"),
    "torch.onnx, which tries torch.export": (
        exported_to_onnx,
        Depends(),
        "Could not guard on data-dependent expression",
    ),
    "ONNX Runtime": (loaded_by_onnxruntime, None, "Failed to load model because protobuf parsing failed."),
}
"""Of libraries that end an error with a page of advice, of source or of a stack."""


@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::UserWarning")
@pytest.mark.parametrize(("fails", "module", "told"), REAL.values(), ids=REAL)
def test_a_library_s_error_becomes_its_cause_on_one_line(fails, module, told):
    with pytest.raises(Exception) as failed:  # noqa: PT011 (each library has its own)
        fails(module)
    found = cause(failed.value)
    assert found.startswith(told)
    assert found.isprintable()
    assert len(found) <= 300
    for noise in ("Traceback", ".cc:", ".cpp:", "\x1b", "[ONNXRuntimeError]", "step 1/3"):
        assert noise not in found


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (KeyError("fc.weight"), "KeyError: 'fc.weight'"),
        (AssertionError(), "AssertionError"),
        (RuntimeError("\n\n  the cause\n  the rest"), "the cause"),
        (
            RuntimeError("[enforce fail at inline_container.cc:603] . PytorchStreamWriter failed"),
            "PytorchStreamWriter failed",
        ),
        (ValueError("\x1b[96mcoloured\x1b[0m\x07"), "coloured\\x07"),
        (RuntimeError("x" * 1000), "x" * 298 + " …"),
    ],
    ids=lambda value: value[:12] if isinstance(value, str) else type(value).__name__,
)
def test_other_errors_are_told_in_one_line_too(error, told):
    assert cause(error) == told


def test_what_nobody_has_foreseen_is_told_by_its_cause():
    assert str(failure_of(RuntimeError("the cause\nin C++"))) == "the cause"
    assert str(failure_of(MemoryError())) == "there is not enough memory here (MemoryError)"
    assert failure_of(KeyError("x")).exit_code == 3


def because(failure, error):
    failure.__cause__ = error
    return failure


@pytest.mark.parametrize(
    ("failure", "told"),
    [
        (
            because(UnsupportedFormat("spec.weights.url: x is damaged"), RuntimeError("bad CRC\nstack")),
            "x is damaged (bad CRC)",
        ),
        (
            because(InvalidSpec("spec.model.classes: must be two"), ValueError("must be two")),
            "--classes: must be two",
        ),
    ],
    ids=["as torch says it", "as the server has said itself"],
)
def test_a_failure_of_the_server_is_told_with_its_cause_once(failure, told):
    assert str(translated(failure)) == told


def test_a_name_may_hold_what_a_terminal_would_obey(catfish, tmp_path):
    code, told, complaint = catfish("digest", tmp_path / "a\nb\x1b[2J")
    assert (code, told, complaint) == (3, "", f"catfish: {tmp_path}/a b\\x1b[2J: there is no such file\n")
    assert one_line("a\r\n  b\u2028c") == "a b c"


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        ((), 2, "the following arguments are required: VERB; see catfish --help"),
        (("exprot",), 2, "VERB: invalid choice: 'exprot' "),
        (
            ("export", "trace"),
            2,
            "the following arguments are required: WEIGHTS, OUT; see catfish export --help",
        ),
        (("export", "best", "w", "out"), 2, "KIND: invalid choice: 'best' "),
        (
            ("inspect", "w", "--image-size", "big"),
            2,
            "--image-size: must be a whole number from 8 to 2048; see ",
        ),
        (("digest", "a", "b"), 2, "unrecognized arguments: b; see catfish --help"),
        (("digest", "missing"), 3, "missing: there is no such file"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else None,
)
def test_an_error_is_one_line_and_with_json_one_object_too(catfish, monkeypatch, words, code, told):
    monkeypatch.setenv("COLUMNS", "60")
    found, out, complaint = catfish(*words)
    assert (found, out, complaint.count("\n")) == (code, "", 1)
    assert complaint.startswith(f"catfish: {told}")
    found, out, complaint_too = catfish(*words, "--json")
    sentence = complaint_too.removeprefix("catfish: ").removesuffix("\n")
    assert (found, json.loads(out)) == (code, {"error": sentence, "exit_code": code})
    assert sentence.startswith(told)


def test_a_model_that_does_not_run_is_told_with_the_cause_and_nothing_else(catfish, tmp_path):
    torch.jit.save(torch.jit.script(Asserts()), tmp_path / "m.ts")
    code, out, complaint = catfish("inspect", tmp_path / "m.ts", "--trust")
    assert (code, out, complaint.count("\n")) == (3, "", 1)
    assert complaint.startswith("catfish: --image-size: the model takes no batch of shape [1, 3, 224, 224]")
    assert complaint.endswith("(AssertionError: it is too small)\n")


def test_a_model_without_an_output_is_told(catfish, tmp_path):
    torch.jit.save(torch.jit.script(Nothing()), tmp_path / "m.ts")
    code, _, complaint = catfish("inspect", tmp_path / "m.ts", "--trust")
    line = "catfish: --architecture: the model must answer one tensor of shape [1, classes], and answers [1, 0]\n"
    assert (code, complaint) == (3, line)


@pytest.fixture
def verify(catfish, kit, tmp_path):
    """Asks for pictures of which one is cut, or which lie in the directory of the other class."""
    shutil.copytree(kit.pictures, tmp_path / "pictures")
    flags = ("--architecture", "resnet18", "--image-size", 32, "--samples", tmp_path / "pictures")
    return lambda *words: catfish("verify", kit.weights, *flags, *words)


def test_a_picture_that_cannot_be_read_is_named_as_it_would_be_found(verify, tmp_path):
    (tmp_path / "pictures/cat/00.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    code, _, complaint = verify()
    assert (code, complaint.count("\n")) == (3, 1)
    assert complaint.startswith(f"catfish: {tmp_path}/pictures/cat/00.png is not an image that is taken: ")


def test_a_share_that_is_not_reached_is_told_by_its_option(verify, tmp_path):
    (tmp_path / "pictures/cat/00.png").rename(tmp_path / "pictures/fish/00.png")
    code, _, complaint = verify("--min-accuracy", "0.99")
    assert (code, complaint.count("\n")) == (1, 1)
    assert " of 40 golden images were answered right (" in complaint
    assert "fish/00.png: cat, expected fish" in complaint
    assert complaint.endswith(", and --min-accuracy is 0.99\n")


def test_a_damaged_onnx_model_is_told_with_the_cause(catfish, tmp_path):
    save_onnx(nn.Flatten().eval(), tmp_path / "m.onnx")
    model = onnx.load(tmp_path / "m.onnx")
    model.graph.node[0].op_type = "Nonsense"
    onnx.save(model, tmp_path / "m.onnx")
    code, out, complaint = catfish("inspect", tmp_path / "m.onnx")
    assert (code, out, complaint.count("\n")) == (3, "", 1)
    assert "Nonsense" in complaint


def test_an_onnx_model_that_does_not_run_is_told_once(tmp_path, capfd):
    """ONNX Runtime would write it to the descriptor as well."""
    shape = onnx.numpy_helper.from_array(np.array([7, 11]), "shape")
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node("Reshape", ["image", "shape"], ["logits"])],
        "graph",
        [onnx.helper.make_tensor_value_info("image", onnx.TensorProto.FLOAT, ["n", 3, "height", "width"])],
        [onnx.helper.make_tensor_value_info("logits", onnx.TensorProto.FLOAT, [7, 11])],
        [shape],
    )
    onnx.save(
        onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8),
        tmp_path / "m.onnx",
    )
    assert run(["inspect", str(tmp_path / "m.onnx")]) == 3
    told, complaint = capfd.readouterr()
    assert (told, complaint.count("\n")) == ("", 1), complaint
    assert complaint.startswith("catfish: --image-size: the model takes no batch of shape [1, 3, 224, 224]")
    assert "running Reshape node" in complaint


@pytest.mark.parametrize(
    ("succeeds", "expected"),
    [
        (True, (0, "n  1\n", "note: slow and steady\n")),
        (False, (3, "", "catfish: it cannot be done\n")),
    ],
    ids=["a result", "a failure"],
)
def test_what_the_server_s_code_warns_of_is_a_note_beside_the_result(
    catfish, kit, monkeypatch, succeeds, expected
):
    def warns(_arguments, report):
        for _ in range(2):
            logging.getLogger("catfish_server.inference.prepare").warning("slow\nand steady")
        logging.getLogger("somebody.else").warning("noise")
        if not succeeds:
            raise ToolFailure("it cannot be done")
        report.result({"n": 1})
        return 0

    monkeypatch.setattr("catfish_server.tools.verbs.digest.run", warns)
    assert catfish("digest", kit.weights) == expected
