"""The golden pictures on a laptop, and a newer file beside an older one."""

import json
import shutil
import weakref

import pytest
import torch
from safetensors.torch import load_file, save_file

from catfish_server.settings import IMAGENET_STD
from catfish_server.tools import metadata, samples
from catfish_server.tools.metadata import About

pytestmark = pytest.mark.process

HOW = ("--architecture", "resnet18", "--image-size", "32")


@pytest.fixture
def verify(catfish, kit):
    def run(new, *words, pictures=kit.pictures):
        return catfish("verify", new, "--samples", pictures, *HOW, *words)

    return run


OLDER = ("--against-architecture", "resnet18", "--json")


def turned_round(tensors):
    """The same weights with their two outputs in the other order."""
    return tensors | {name: tensors[name].flip(0).contiguous() for name in ("fc.weight", "fc.bias")}


@pytest.fixture
def contrary(kit, tmp_path):
    tensors = turned_round(load_file(kit.weights))
    save_file(tensors, tmp_path / "contrary.safetensors", {"classes": '["cat", "fish"]'})
    return tmp_path / "contrary.safetensors"


def test_a_model_that_is_right_passes(verify, kit):
    code, told, complaint = verify(kit.weights, "--min-accuracy", "0.9", "--json")
    found = json.loads(told)
    assert (code, found["golden_pictures"]) == (0, 40), complaint
    assert found["answered_right"] >= 36


def test_one_that_is_wrong_is_told_as_in_the_pod(verify, contrary):
    code, told, complaint = verify(contrary)
    assert (code, told) == (1, "")
    assert "of 40 golden images were answered right (" in complaint
    assert "expected" in complaint


def test_a_newer_file_that_is_worse_is_refused_with_what_changed(verify, kit, contrary):
    code, told, _ = verify(contrary, "--against", kit.weights, "--against-architecture", "resnet18", "--json")
    found = json.loads(told)
    assert (code, found["changed_answers"], found["agreement"]) == (1, 40, 0)
    assert found["verdict"].startswith("worse: ")
    assert found["accuracy_after"] < found["accuracy_before"]
    first = found["changed"][0]
    assert (first["name"], {first["before"], first["after"]}) == ("cat/00.png", {"cat", "fish"})
    assert len(found["changed"]) == 20


def test_one_that_is_better_is_not(verify, kit, contrary):
    code, told, _ = verify(kit.weights, "--against", contrary, "--against-architecture", "resnet18", "--json")
    assert (code, json.loads(told)["verdict"]) == (0, "not worse")


def test_pictures_without_classes_need_an_older_file(verify, kit, contrary):
    code, _, complaint = verify(kit.weights, pictures=kit.pictures / "cat")
    assert (code, "does not tell what its pictures show" in complaint) == (2, True)
    words = ("--against", contrary, "--against-architecture", "resnet18", "--json")
    code, told, _ = verify(kit.weights, *words, pictures=kit.pictures / "cat")
    assert (code, "nobody says which are right" in json.loads(told)["verdict"]) == (1, True)
    assert json.loads(told)["unlabelled_pictures"] == 20


WIDE = tuple(4 * value for value in IMAGENET_STD)


@pytest.fixture
def scaled(kit, tmp_path):
    """Writes the same model for pictures that are divided by four times as much."""

    def write(**about):
        tensors = load_file(kit.weights)
        tensors["conv1.weight"] *= 4
        path = tmp_path / "scaled.safetensors"
        save_file(tensors, path, metadata.texts(About(architecture="resnet18", **about), ("cat", "fish")))
        return path

    return write


@pytest.mark.parametrize("said", ["in the file", "by a flag"])
def test_the_older_file_gets_pictures_prepared_its_own_way(verify, kit, scaled, said):
    flags = () if said == "in the file" else ("--against-std", ",".join(map(str, WIDE)))
    older = scaled() if flags else scaled(std=WIDE)
    code, told, complaint = verify(kit.weights, "--against", older, *flags, "--json")
    assert code == 0, complaint
    found = json.loads(told)
    assert (found["agreement"], found["max_difference"] < 1e-3) == (1, True)
    assert found["accuracy_before"] == found["accuracy_after"] >= 0.9


def test_so_does_the_newer_one(verify, kit, scaled):
    code, told, complaint = verify(
        scaled(std=WIDE), "--against", kit.weights, "--against-architecture", "resnet18",
        "--against-std", ",".join(map(str, IMAGENET_STD)), "--min-accuracy", "0.9", "--json",
    )  # fmt: skip
    assert (code, json.loads(told)["agreement"]) == (0, 1), complaint


def test_an_older_file_that_says_nothing_is_prepared_as_its_pods_do_it(verify, kit, scaled, tmp_path):
    """Weights of torch.save, served with ImageNet's std beside a newer file that says another one of itself."""
    torch.save(load_file(kit.weights), tmp_path / "older.pt")
    words = ("--against", tmp_path / "older.pt", "--against-architecture", "resnet18", "--json")
    code, told, complaint = verify(scaled(std=WIDE), *words)
    found = json.loads(told)
    assert (code, found["agreement"], found["max_difference"] < 1e-3) == (0, 1, True), complaint
    assert found["accuracy_before"] == found["accuracy_after"] >= 0.9


def test_what_the_command_line_says_is_true_of_an_older_file_that_says_nothing(verify, scaled, tmp_path):
    torch.save(load_file(scaled()), tmp_path / "older.pt")
    words = ("--against", tmp_path / "older.pt", "--against-architecture", "resnet18", "--json")
    code, told, complaint = verify(scaled(), "--std", ",".join(map(str, WIDE)), *words)
    found = json.loads(told)
    assert (code, found["agreement"], found["accuracy_before"] >= 0.9) == (0, 1, True), complaint


def test_an_older_file_with_its_preprocessing_inside_keeps_its_own_size(verify, kit, catfish, tmp_path):
    older = tmp_path / "older.pt"
    how = ("--with-preprocess", "--architecture", "resnet18", "--image-size", "40", "--std", "1,1,1")
    code, _, complaint = catfish("export", "trace", kit.weights, older, *how)
    assert code == 0, complaint
    code, told, complaint = verify(kit.weights, "--against", older, "--trust", "--json")
    assert (code, json.loads(told)["n"]) == (0, 40), complaint


def test_what_is_wrong_with_the_older_file_names_the_option_about_it(verify, kit, catfish, tmp_path):
    older = tmp_path / "older.pt"
    how = ("--with-preprocess", "--architecture", "resnet18", "--image-size", "40")
    assert catfish("export", "trace", kit.weights, older, *how)[0] == 0
    words = ("--against", older, "--trust", "--against-image-size", "48")
    code, told, complaint = verify(kit.weights, *words)
    assert (code, told) == (3, "")
    assert complaint.startswith(
        "catfish: --against-image-size: is 48, and the model has its preprocessing inside"
    )


def test_each_file_may_have_its_classes_named(verify, kit, tmp_path):
    """Weights of torch.save of the same model, with its outputs in another order."""
    tensors = load_file(kit.weights)
    torch.save(tensors, tmp_path / "newer.pt")
    torch.save(turned_round(tensors), tmp_path / "older.pt")
    words = (
        "--classes",
        "cat,fish",
        "--against",
        tmp_path / "older.pt",
        "--against-classes",
        "fish,cat",
        *OLDER,
    )
    code, told, complaint = verify(tmp_path / "newer.pt", *words)
    assert (code, json.loads(told)["agreement"]) == (0, 1), complaint


def test_a_file_with_another_number_of_classes_is_named_with_the_option_about_it(verify, kit, tmp_path):
    tensors = load_file(kit.weights)
    for name in ("fc.weight", "fc.bias"):
        tensors[name] = torch.cat([tensors[name], tensors[name][:1]])
    torch.save(tensors, tmp_path / "older.pt")
    code, _, complaint = verify(kit.weights, "--against", tmp_path / "older.pt", *OLDER)
    sentence = f"catfish: {tmp_path}/older.pt has 3 outputs, and there are 2 classes; see --against-classes\n"
    assert (code, complaint) == (3, sentence)


@pytest.mark.parametrize("same", [True, False], ids=["one preparation", "two"])
def test_pictures_are_in_memory_for_one_file_at_a_time(verify, kit, scaled, monkeypatch, same):
    read, taken = samples.read, []

    def watched(*words, **options):
        assert [images for images in taken if images() is not None] == []
        found = read(*words, **options)
        taken.append(weakref.ref(found.images))
        return found

    monkeypatch.setattr(samples, "read", watched)
    older = scaled() if same else scaled(std=WIDE)
    verify(kit.weights, "--against", older, "--against-architecture", "resnet18")
    assert len(taken) == (1 if same else 2)


@pytest.fixture
def mixed(kit, tmp_path):
    """Six pictures of either class, and as many in a directory that is named for none."""
    for number in range(12):
        name = f"{number:02}.png"
        for folder in (("cat", "fish")[number % 2], "holiday"):
            (tmp_path / "mixed" / folder).mkdir(parents=True, exist_ok=True)
            shutil.copy(kit.pictures / ("cat", "fish")[number % 2] / name, tmp_path / "mixed" / folder / name)
    return tmp_path / "mixed"


@pytest.fixture
def endless(kit, tmp_path):
    """Its logits are so large that they are infinite."""
    tensors = load_file(kit.weights)
    tensors["fc.weight"] = torch.full_like(tensors["fc.weight"], 3e38)
    save_file(tensors, tmp_path / "endless.safetensors", {"classes": '["cat", "fish"]'})
    return tmp_path / "endless.safetensors"


@pytest.mark.parametrize(
    ("words", "name"),
    [((), "cat/00.png"), (("--against",), "cat/00.png"), (("--against",), "00.png")],
    ids=["golden pictures", "and an older file", "an older file alone"],
)
def test_an_answer_that_is_not_finite_is_told_as_in_the_pod(verify, kit, endless, words, name):
    flags = ("--min-accuracy", "0", *((*words, endless, *OLDER) if words else ()))
    code, told, complaint = verify(
        endless, *flags, pictures=kit.pictures if "/" in name else kit.pictures / "cat"
    )
    sentence = f"the model answers {name} with NaN or infinity"
    assert (code, complaint) == (1, f"catfish: {sentence}\n")
    assert (json.loads(told)["error"] if words else told) == (sentence if words else "")


def test_pictures_of_no_class_are_counted_and_not_judged(verify, kit, mixed):
    code, told, complaint = verify(kit.weights, "--min-accuracy", "0.9", "--json", pictures=mixed)
    assert code == 0, complaint
    found = json.loads(told)
    assert (found["golden_pictures"], found["unlabelled_pictures"]) == (12, 12)
    assert found["notes"] == [
        "12 of 24 pictures are in no directory of a class that the model knows (holiday): they are no golden pictures"
    ]


def test_a_directory_of_no_class_alone_is_refused(verify, kit, mixed):
    shutil.rmtree(mixed / "cat")
    shutil.rmtree(mixed / "fish")
    code, _, complaint = verify(kit.weights, pictures=mixed)
    assert (code, "is named for a class of the model (cat, fish), but holiday" in complaint) == (2, True)


def test_answers_that_changed_count_also_where_nobody_says_what_is_right(verify, kit, contrary, mixed):
    """As many right as before, for there are no pictures of a class that are answered otherwise."""
    for name in ("cat", "fish"):
        for path in (mixed / name).iterdir():
            path.unlink()
    shutil.copy(kit.pictures / "cat" / "00.png", mixed / "cat" / "right.png")
    shutil.copy(kit.pictures / "cat" / "00.png", mixed / "fish" / "wrong.png")
    code, told, complaint = verify(contrary, "--against", kit.weights, *OLDER, pictures=mixed)
    found = json.loads(told)
    assert (code, found["accuracy_before"], found["accuracy_after"]) == (1, 0.5, 0.5), complaint
    assert (found["n"], found["changed_answers"]) == (14, 14)
    assert found["verdict"].startswith(
        "worse: 0 of the answers to 12 pictures are as before (0.0%), and nobody"
    )


def test_below_the_threshold_the_answer_is_unknown_as_in_the_pod(verify, kit, mixed):
    (mixed / "cat").rename(mixed / "unknown")
    flags = ("--unknown-threshold", "1", "--min-accuracy", "0.5", "--json")
    code, told, complaint = verify(kit.weights, *flags, "--against", kit.weights, *OLDER, pictures=mixed)
    assert code == 0, complaint
    found = json.loads(told)
    assert (found["golden_pictures"], found["answered_right"], found["unlabelled_pictures"]) == (12, 6, 12)
    assert (found["accuracy_before"], found["accuracy_after"]) == (0.5, 0.5)


def test_how_long_either_takes_for_a_picture_is_told(verify, kit):
    code, told, complaint = verify(kit.weights, "--against", kit.weights, *OLDER[:2])
    assert code == 0, complaint
    assert [line.split()[:2] for line in told.splitlines() if line.startswith("ms ")] == [
        ["ms", "before"],
        ["ms", "after"],
    ]


def test_an_accuracy_that_nobody_can_tell_is_no_accuracy_that_is_reached(verify, kit):
    words = ("--min-accuracy", "0.5", "--against", kit.weights, *OLDER)
    code, _, complaint = verify(kit.weights, *words, pictures=kit.pictures / "cat")
    assert (code, "--min-accuracy asks for pictures in a directory for each class" in complaint) == (2, True)
