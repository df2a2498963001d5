"""What a user of the C++ programs reads when something is wrong: one line, and an exit code that is not 0."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from tests.cpp.conftest import picture
from tests.cpp.networks import save

pytestmark = pytest.mark.process  # compiles the programs, once

CPP = Path(__file__).resolve().parents[2] / "cpp"


class Mean(nn.Module):
    """Logits of three classes: the mean of each channel."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return images.mean(dim=[2, 3])


class Pair(nn.Module):
    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return images, images


class Large(nn.Module):
    def forward(self, images: torch.Tensor) -> torch.Tensor:
        assert images.size(2) > 300, "it is too small"
        return images.mean(dim=[2, 3])


class Reshapes(nn.Module):
    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return images.reshape(7, 11)


class Raises(nn.Module):
    def forward(self, images: torch.Tensor) -> torch.Tensor:
        if images.size(2) > 1:
            raise ValueError("of its author's own")
        return images.mean(dim=[2, 3])


class Nothing(nn.Module):
    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return images.mean(dim=[2, 3])[:, :0]


class NotFinite(nn.Module):
    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return images.mean(dim=[2, 3]) / 0 * 0


THREE = "red, green, blue"
MODELS = {
    "good": (Mean(), THREE),
    "nameless": (Mean(), None),
    "two names": (Mean(), "a,b"),
    "twice": (Mean(), "a,b,a"),
    "no list": (Mean(), '["a", 1]'),
    "control": (Mean(), "a\x1b,b,c"),
    "pair": (Pair(), THREE),
    "large": (Large(), THREE),
    "reshapes": (Reshapes(), THREE),
    "raises": (Raises(), THREE),
    "nothing": (Nothing(), THREE),
    "not finite": (NotFinite(), THREE),
}


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder of models and images, the working directory of the programs."""
    directory = tmp_path_factory.mktemp("failures")
    for name, (module, classes) in MODELS.items():
        save(module, "scripted", directory / name, classes)
    torch.save(Mean().state_dict(), directory / "weights.pt")
    picture(80, 60, 1).save(directory / "good.jpg")
    (directory / "text").write_text("no image\n")
    (directory / "empty").write_bytes(b"")
    (directory / "cut.jpg").write_bytes((directory / "good.jpg").read_bytes()[:500])
    (directory / "cut").write_bytes((directory / "good").read_bytes()[:700])
    return directory


@pytest.fixture
def at(place, monkeypatch):
    monkeypatch.chdir(place)


WRONG_COMMAND_LINES = [
    ([], "a model and at least one image are needed; see --help"),
    (["good"], "a model and at least one image are needed; see --help"),
    (["--wrong", "good", "good.jpg"], "--wrong: is no option; see --help"),
    (["good", "good.jpg", "--classes"], "--classes: needs a value; see --help"),
    (["--image-size", "big", "good", "good.jpg"], "--image-size: 'big' is no number"),
    (["--image-size", "0", "good", "good.jpg"], "--image-size: must be 1 to 4096"),
    (["--mean", "1,2", "good", "good.jpg"], "--mean: needs three numbers with commas between them"),
    (["--std", "1,0,1", "good", "good.jpg"], "--std: must be above 0"),
    (["nameless", "good.jpg"], "--classes: is needed, as nameless does not name its classes"),
    (
        ["--classes", "blue,red,green", "good", "good.jpg"],
        "--classes: are others, or in another order, than those that good names",
    ),
]


@pytest.mark.usefixtures("at")
@pytest.mark.parametrize(("arguments", "said"), WRONG_COMMAND_LINES)
def test_a_wrong_command_line_ends_with_2(call, arguments, said):
    assert call("catfish-predict", *arguments) == (2, b"", [f"catfish-predict: {said}"])


USELESS_FILES = [
    (["missing", "good.jpg"], "missing cannot be read: No such file or directory"),
    ([".", "good.jpg"], ". is a directory, not a file"),
    (["text", "good.jpg"], "text is no TorchScript module, or a damaged one: PytorchStreamReader failed"),
    (["empty", "good.jpg"], "empty is no TorchScript module, or a damaged one: PytorchStreamReader failed"),
    (["cut", "good.jpg"], "cut is no TorchScript module, or a damaged one: PytorchStreamReader failed"),
    (["weights.pt", "good.jpg"], "weights.pt is no TorchScript module, or a damaged one: "),
    (["two names", "good.jpg"], "two names has 3 outputs, and 2 classes"),
    (["twice", "good.jpg"], "the classes in twice must not hold a name twice"),
    (["no list", "good.jpg"], "the classes in no list must be a JSON array of strings, or names with commas"),
    (["control", "good.jpg"], "the classes in control must hold printable characters only"),
    (["pair", "good.jpg"], "pair answers with a Tuple, not with one tensor"),
    (["large", "good.jpg"], "large fails on an image of 224 pixels: AssertionError: it is too small"),
    (
        ["reshapes", "good.jpg"],
        "reshapes fails on an image of 224 pixels: shape '[7, 11]' is invalid for input of size 150528",
    ),
    (["raises", "good.jpg"], "raises fails on an image of 224 pixels: of its author's own"),
    (["nothing", "good.jpg"], "nothing has 0 outputs, and 3 classes"),
    (["not finite", "good.jpg"], "not finite answers with a value that is not finite"),
    (["good", "missing.jpg"], "missing.jpg cannot be read: No such file or directory"),
    (["good", "."], ". is a directory, not a file"),
    (["good", "no\nsuch\x1b[2J.jpg"], "no such [2J.jpg cannot be read: No such file or directory"),
    (["good", "text"], "text is neither JPEG nor PNG"),
    (["good", "empty"], "empty is neither JPEG nor PNG"),
    (["good", "cut.jpg"], "cut.jpg is truncated or damaged"),
]


@pytest.mark.usefixtures("at")
@pytest.mark.parametrize(("arguments", "said"), USELESS_FILES)
def test_a_file_that_cannot_be_used_ends_with_3(call, arguments, said):
    code, output, errors = call("catfish-predict", *arguments)
    assert (code, output, len(errors)) == (3, b"", 1)
    assert errors[0].startswith(f"catfish-predict: {said}")


@pytest.mark.usefixtures("at")
@pytest.mark.parametrize("arguments", [["good", "good.jpg"], ["--help"]], ids=" ".join)
def test_an_answer_that_cannot_be_printed_is_no_success(programs, arguments):
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [programs / "catfish-predict", *arguments],
            check=False,
            stdout=full,
            stderr=subprocess.PIPE,
            timeout=300,
        )
    line = b"catfish-predict: standard output cannot be written: No space left on device\n"
    assert (done.returncode, done.stderr) == (3, line)


@pytest.mark.usefixtures("at")
def test_an_image_that_cannot_be_decoded_keeps_no_other_from_its_answer(call):
    code, output, errors = call("catfish-predict", "good", "good.jpg", "text", "good.jpg")
    first, second = output.decode().splitlines()
    assert code == 3
    assert first == second
    assert first.startswith("good.jpg: ")
    assert errors == ["catfish-predict: text is neither JPEG nor PNG"]


@pytest.mark.usefixtures("at")
def test_classes_size_and_normalisation_can_be_given(call):
    options = ["--classes", "red,green,blue", "--image-size", "301", "--mean", "0,0,0", "--std", "1,1,1"]
    code, output, errors = call("catfish-predict", *options, "large", "good.jpg")
    assert (code, errors) == (0, [])
    assert call("catfish-predict", *options, "nameless", "good.jpg") == (0, output, [])
    assert call("catfish-predict", *options[:4], "nameless", "good.jpg") != (0, output, [])


@pytest.mark.usefixtures("at")
@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        ([], 2, "load-cnn: one model is needed: load-cnn MODEL"),
        (["good", "good.jpg"], 2, "load-cnn: one model is needed: load-cnn MODEL"),
        (["missing"], 3, "load-cnn: missing: open file failed"),
        (["text"], 3, "load-cnn: text: PytorchStreamReader failed"),
        (["reshapes"], 3, "load-cnn: reshapes: shape '[7, 11]' is invalid for input of size 150528"),
        (["pair"], 3, "load-cnn: pair: Expected Tensor but got Tuple"),
    ],
)
def test_the_book_s_program_says_what_is_wrong_in_one_line(call, arguments, code, said):
    found, output, errors = call("load-cnn", *arguments)
    assert (found, output, len(errors)) == (code, b"", 1)
    assert errors[0].startswith(said)


@pytest.mark.usefixtures("at", "onnx_programs")
@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        ([], 2, "a model and at least one image are needed; see --help"),
        (["missing", "good.jpg"], 3, "missing cannot be read: No such file or directory"),
        (["text", "good.jpg"], 3, "text is no ONNX model for images, or a damaged one: "),
        (["good", "good.jpg"], 3, "good is no ONNX model for images, or a damaged one: "),
    ],
)
def test_the_program_on_onnx_runtime_says_what_is_wrong_in_one_line(call, arguments, code, said):
    found, output, errors = call("catfish-predict-onnx", *arguments)
    assert (found, output, len(errors)) == (code, b"", 1)
    assert errors[0].startswith(f"catfish-predict-onnx: {said}")


def configure(directory, *options):
    command = ["cmake", "-S", CPP, "-B", directory, f"-DPython3_EXECUTABLE={sys.executable}", *options]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)


@pytest.mark.usefixtures("programs")
def test_a_libtorch_is_found_by_its_own_config(tmp_path):
    config = tmp_path / "libtorch" / "share" / "cmake" / "Torch" / "TorchConfig.cmake"
    config.parent.mkdir(parents=True)
    config.write_text('message(STATUS "its own config")\nset(TORCH_LIBRARIES of-its-own)\n')
    done = configure(tmp_path / "build", f"-DLIBTORCH={tmp_path / 'libtorch'}")
    assert done.returncode == 0, done.stderr
    assert "-- its own config" in done.stdout
    assert "-lof-its-own" in (tmp_path / "build/CMakeFiles/catfish-predict.dir/link.txt").read_text()


@pytest.mark.usefixtures("programs")
@pytest.mark.parametrize(
    ("option", "said"),
    [
        ("-DLIBTORCH=/nowhere", "there is no libTorch in LIBTORCH=/nowhere"),
        ("-DPython3_EXECUTABLE=/bin/false", "has no torch: `pip install torch`"),
    ],
)
def test_torch_that_is_not_there_is_said(tmp_path, option, said):
    done = configure(tmp_path / "build", option)
    assert done.returncode != 0
    assert said in " ".join(done.stderr.split())
