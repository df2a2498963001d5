"""Models in 8 bits, made by the command."""

import json
import shutil
from contextlib import nullcontext
from dataclasses import replace

import onnx
import pytest
import torch
from safetensors.torch import load_file, save_file

from catfish_server.inference.engines import onnx as engine
from catfish_server.tools import metadata
from catfish_server.tools.agreement import Agreement, Changed, lower_bound
from catfish_server.tools.errors import Refused
from catfish_server.tools.opened import Source
from catfish_server.tools.verbs.quantize import gate
from catfish_server.weights.formats import Format
from tests.model_server.whole_models import save_torchscript

pytestmark = pytest.mark.process


@pytest.fixture(scope="module")
def exported(kit, tmp_path_factory):
    """The network as ONNX."""
    path = tmp_path_factory.mktemp("exported") / "plain.onnx"
    opened = Source(path=kit.weights, architecture="resnet18", image_size=32).open()
    engine.export(opened.module, path, example=torch.zeros(2, 3, 32, 32).numpy())
    return path


@pytest.fixture
def plain(exported, tmp_path):
    """A copy of it for each test."""
    return shutil.copy(exported, tmp_path / "plain.onnx")


@pytest.fixture
def quantize(catfish, kit, tmp_path):
    def run(*words, weights=kit.weights, calibrate=kit.pictures):
        out = tmp_path / "int8.onnx"
        asked = ("--calibrate", calibrate) if calibrate else ()
        flags = ("--image-size", 32, *(() if weights.suffix == ".onnx" else ("--architecture", "resnet18")))
        return (*catfish("quantize", weights, out, *asked, *flags, *words), out)

    return run


@pytest.fixture
def one_sided(kit, tmp_path):
    """It answers cat, whatever it sees."""
    tensors = load_file(kit.weights)
    tensors["fc.bias"] += torch.tensor([100.0, -100.0])
    save_file(tensors, tmp_path / "one.safetensors", {"classes": '["cat", "fish"]'})
    return tmp_path / "one.safetensors"


def kinds(path):
    return {node.op_type for node in onnx.load(path).graph.node}


def test_weights_become_a_file_that_says_how_well_it_does(quantize, kit, catfish):
    code, told, complaint, out = quantize("--json")
    assert code == 0, complaint
    facts = json.loads(told)
    assert (code, facts["n"], facts["out"]) == (0, 40, str(out))
    assert facts["agreement"] >= 0.99
    assert facts["size_ratio"] <= 0.3
    assert facts["agreement_lower_bound_95"] < facts["agreement"]
    assert any("40 pictures are few" in note for note in facts["notes"])
    assert {"QuantizeLinear", "DequantizeLinear"} <= kinds(out)
    opened = Source(path=out).open()  # it says itself what else the user would have to
    assert (opened.classes, opened.image_size, opened.format) == (("cat", "fish"), 32, Format.ONNX)
    about = metadata.About.read(metadata.read(out, Format.ONNX))
    assert about.measured is not None
    assert about.measured["agreement"] == facts["agreement"]
    code, told, complaint = catfish("inspect", out, "--json")
    assert (code, json.loads(told)["measured"]) == (0, about.measured), complaint
    assert (about.made_by, about.architecture) == ("quantize", "resnet18")
    assert about.source_sha256 == Source(path=kit.weights, architecture="resnet18").open().sha256


def test_a_file_that_answers_otherwise_is_refused_and_not_left(quantize, kit, tmp_path):
    """Calibrated with one plain grey picture, no layer can tell two pictures apart."""
    code, told, complaint, _ = quantize("--samples", kit.pictures, calibrate=kit.grey)
    assert (code, told) == (1, ""), complaint
    assert "nothing was written: " in complaint
    assert "of 40 pictures" in complaint
    assert len([line for line in complaint.splitlines() if line.startswith("catfish:")]) == 1
    assert list(tmp_path.iterdir()) == []


FOUND = Agreement(
    n=300,
    agreeing=300,
    lower_bound_95=0.9,
    max_difference=0.1,
    max_probability_difference=0.1,
    shares={},
    seconds_before=1.0,
    seconds_after=1.0,
    labelled=0,
    accuracy_before=None,
    accuracy_after=None,
    changed=(),
    not_finite=(),
)


@pytest.mark.parametrize(("agreeing", "accepted"), [(297, True), (296, False)])
def test_ninety_nine_in_a_hundred_must_agree(agreeing, accepted):
    changed = (Changed(name="a.png", before="cat", after="fish", label=None),) * (300 - agreeing)
    found = replace(FOUND, agreeing=agreeing, changed=changed, lower_bound_95=lower_bound(agreeing, 300))
    told = (
        r"^nothing was written: 296 of 300 pictures \(98\.7%\) get the same class in 8 bits, and 99% of them must "
        r"\(a\.png: cat, now fish\); of all pictures it may be as few as 97\.1% \(with 95% confidence\); "
    )
    with nullcontext() if accepted else pytest.raises(Refused, match=told):
        gate(found)


def test_files_that_name_other_classes_are_not_said_to_agree():
    with pytest.raises(
        Refused, match="one of both files names other classes, so that they cannot be compared"
    ):
        gate(replace(FOUND, max_difference=None))


def test_what_is_judged_is_told_beside_the_bound_that_is_not(quantize):
    code, told, complaint, _ = quantize()
    assert code == 0, complaint
    lines = dict(line.split("  ", 1) for line in told.splitlines())
    assert (lines["least agreement"].strip(), lines["agreement"].strip()) == ("0.99", "1")
    assert lines["agreement lower bound 95"].strip() == "0.9366"
    assert (
        "note: 40 pictures are few: judged is their own agreement, 100.0% where 99% are asked; that of all pictures "
        "may be as low as 93.7% (with 95% confidence)\n"
    ) in complaint


def test_an_answer_that_is_not_finite_is_named():
    with pytest.raises(
        Refused, match=r"^nothing was written: in 8 bits the model answers a\.png with NaN or infin"
    ):
        gate(replace(FOUND, max_difference=float("inf"), not_finite=("a.png",)))


@pytest.fixture
def some(kit, tmp_path_factory):
    """A directory of so many pictures of cats and of fish."""

    def make(cats, fish):
        made = tmp_path_factory.mktemp("some")
        for name, count in (("cat", cats), ("fish", fish)):
            paths = sorted((kit.pictures / name).iterdir())
            (made / name).mkdir()
            for number in range(count):
                shutil.copy(paths[number % len(paths)], made / name / f"{number}.png")
        return made

    return make


@pytest.mark.parametrize(
    ("counts", "words", "told"),
    [
        ((1, 0), (), " holds 1 picture to check on, and fewer than 25 "),
        ((12, 12), (), " holds 24 pictures to check on, and fewer than 25 "),
        ((15, 15), ("--limit", 10), "--limit allows 10 pictures to check on, and fewer than 25 "),
    ],
)
def test_too_few_pictures_to_tell_are_refused_at_once(quantize, some, counts, words, told):
    code, _, complaint, out = quantize("--samples", some(*counts), *words)
    assert (code, complaint.count("\n"), out.exists()) == (2, 1, False), complaint
    assert told in complaint
    assert "name more with --samples, best 300 or more" in complaint


def test_pictures_that_are_all_answered_alike_are_refused(quantize, some, one_sided):
    code, _, complaint, out = quantize("--samples", some(25, 0), weights=one_sided)
    assert (code, out.exists()) == (1, False)
    assert "all 25 pictures are answered cat by the model itself" in complaint


def test_a_class_of_two_that_is_rare_is_told(quantize, some):
    code, told, complaint, _ = quantize("--samples", some(25, 3), "--json")
    assert code == 0, complaint
    assert [note for note in json.loads(told)["notes"] if "and 30% should be: little is known" in note]


def test_a_refused_file_leaves_the_one_that_was_there(quantize, kit, plain, tmp_path):
    (tmp_path / "int8.onnx").write_bytes(b"older")
    words = ("--samples", kit.pictures, "--classes", "cat,fish")
    code, _, complaint, _ = quantize(*words, weights=plain, calibrate=kit.grey)
    assert code == 1, complaint
    assert (tmp_path / "int8.onnx").read_bytes() == b"older"


def test_an_onnx_model_and_its_linear_layers_alone(quantize, plain):
    code, _, complaint, out = quantize("--dynamic", "--classes", "cat,fish", weights=plain)
    assert (code, "MatMulInteger" in kinds(out), "QuantizeLinear" in kinds(out)) == (0, True, False), (
        complaint
    )
    assert Source(path=out).open().classes == ("cat", "fish")


def test_the_file_that_is_read_is_not_written_over(catfish, kit, plain):
    before = plain.read_bytes()
    words = ("--calibrate", kit.pictures, "--image-size", 32)
    code, _, complaint = catfish("quantize", plain, plain, *words)
    assert (code, plain.read_bytes() == before) == (2, True)
    assert "give the new one another name" in complaint


@pytest.mark.parametrize(
    ("calibrate", "code", "sentence"),
    [(None, 2, "--calibrate is missing"), ("missing", 3, "missing is no directory")],
    ids=["no pictures", "a directory that is not there"],
)
def test_what_is_missing_is_named(quantize, tmp_path, calibrate, code, sentence):
    found, _, complaint, _ = quantize(calibrate=calibrate and tmp_path / calibrate)
    assert (found, sentence in complaint) == (code, True)


def test_a_program_of_torch_is_not_quantized(quantize, kit, tmp_path):
    opened = Source(path=kit.weights, architecture="resnet18", image_size=32).open()
    save_torchscript(opened.module, tmp_path / "program.onnx")  # its name says nothing
    code, _, complaint, out = quantize("--trust", weights=tmp_path / "program.onnx")
    assert (code, out.exists()) == (3, False)
    assert "quantize the weights that it was made from" in complaint
