"""Two files asked for the same pictures."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from catfish_server.settings import IMAGENET_MEAN, IMAGENET_STD
from catfish_server.tools import agreement, samples
from catfish_server.tools.errors import ToolFailure
from catfish_server.tools.opened import Source

pytestmark = pytest.mark.process


@pytest.fixture(scope="module")
def pictures(kit):
    return samples.read(kit.pictures, image_size=32, mean=IMAGENET_MEAN, std=IMAGENET_STD)


def source(path, **options):
    return Source(path=path, architecture="resnet18", image_size=32, **options)


def changed_weights(kit, path, change, classes=("cat", "fish")):
    tensors = load_file(kit.weights)
    change(tensors)
    save_file(tensors, path, {"classes": json.dumps(classes)})
    return source(path)


def turn_round(tensors):
    for name in ("fc.weight", "fc.bias"):
        tensors[name] = tensors[name].flip(0).contiguous()


def test_a_file_agrees_with_itself(kit, pictures):
    told = []
    found = agreement.measure(
        source(kit.weights), source(kit.weights), pictures, progress=lambda *pair: told.append(pair)
    )
    assert (found.n, found.agreeing, found.changed, found.max_difference) == (40, 40, (), 0.0)
    assert found.accuracy_before == found.accuracy_after >= 0.9
    assert sum(found.shares.values()) == pytest.approx(1)
    assert min(found.shares.values()) >= 0.3
    assert 0.5 < found.speedup < 2
    assert told[-1] == (40, 40)


def test_a_model_that_answers_the_contrary_agrees_nowhere(kit, pictures, tmp_path):
    contrary = changed_weights(kit, tmp_path / "w.safetensors", turn_round)
    found = agreement.measure(source(kit.weights), contrary, pictures)
    assert found.agreeing == 0
    assert [one.name for one in found.changed] == list(pictures.names)
    assert found.accuracy_after == pytest.approx(1 - found.accuracy_before)
    assert found.max_difference > 0.1


def test_the_names_of_classes_count_and_not_their_places(kit, pictures, tmp_path):
    moved = changed_weights(kit, tmp_path / "w.safetensors", turn_round, classes=("fish", "cat"))
    found = agreement.measure(source(kit.weights), moved, pictures)
    assert (found.agreeing, found.max_difference) == (40, None)


def test_directories_that_are_no_classes_say_nothing_of_the_accuracy(kit, pictures):
    named = replace(pictures, labels=("holiday",) * len(pictures.labels))
    found = agreement.measure(source(kit.weights), source(kit.weights), named)
    assert (found.accuracy_before, found.accuracy_after) == (None, None)


def test_both_are_judged_by_the_same_pictures_where_they_know_other_classes(kit, pictures, tmp_path):
    other = changed_weights(kit, tmp_path / "w.safetensors", dict.copy, classes=("cat", "bird"))
    found = agreement.measure(source(kit.weights), other, pictures)
    assert found.labelled == 40
    assert found.accuracy_before >= 0.9
    assert found.accuracy_after <= 0.5  # it has no answer to the twenty fish


def test_an_answer_that_is_not_finite_agrees_with_none(kit, pictures, tmp_path):
    def overflow(tensors):
        tensors["fc.weight"] = torch.full_like(tensors["fc.weight"], 3e38)

    found = agreement.measure(
        source(kit.weights), changed_weights(kit, tmp_path / "w.safetensors", overflow), pictures
    )
    assert found.agreeing == 0
    assert {one.after for one in found.changed} == {"nothing finite"}
    assert found.max_difference == found.max_probability_difference == np.inf


def test_a_file_that_cannot_be_used_is_named(kit, pictures, tmp_path):
    (tmp_path / "page.onnx").write_text("<html>")
    with pytest.raises(ToolFailure, match=r"page\.onnx .*web page"):
        agreement.measure(source(kit.weights), Source(path=tmp_path / "page.onnx"), pictures)


@pytest.mark.parametrize(
    ("hits", "n", "bound"),
    [(300, 300, 0.99106), (297, 300, 0.97524), (10, 10, 0.78706), (0, 5, 0.0)],
)
def test_the_lower_bound_is_that_of_wilson(hits, n, bound):
    assert agreement.lower_bound(hits, n) == pytest.approx(bound, abs=1e-4)
