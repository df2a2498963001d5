import io

import pytest
import torch
from safetensors.torch import load_file
from torchvision.models import resnet18

from catfish_server.errors import StartupFailure
from catfish_server.models import registry
from catfish_server.weights import statedict, unpickle
from demo import spoiled


@pytest.fixture(scope="module")
def good():
    torch.manual_seed(1)
    stored = io.BytesIO()
    torch.save(resnet18(num_classes=2).state_dict(), stored)
    return stored.getvalue()


def loaded(content):
    return torch.load(io.BytesIO(content), weights_only=True)


def load_as_the_server_does(content, folder):
    (folder / "weights.pt").write_bytes(content)
    unpickle.convert(folder / "weights.pt", folder / "weights.safetensors")
    found = load_file(folder / "weights.safetensors")
    tensors = {name: statedict.float32(name, value) for name, value in found.items()}
    return registry.build("resnet18", tensors, classes=("cat", "fish"), image_size=96, head_hidden=None)


def test_swapped_labels_exchange_the_two_rows_of_the_head_and_nothing_else(good):
    before, after = loaded(good), loaded(spoiled.swapped_labels(good))
    assert list(before) == list(after)
    for name in spoiled.HEAD:
        assert torch.equal(after[name], before[name].flip(0))
        assert not torch.equal(after[name], before[name])
    assert all(torch.equal(before[name], after[name]) for name in before if name not in spoiled.HEAD)


def test_swapped_labels_pass_all_that_the_server_checks_by_itself(good, tmp_path):
    load_as_the_server_does(spoiled.swapped_labels(good), tmp_path)


def test_swapped_twice_is_as_before(good):
    twice = loaded(spoiled.swapped_labels(spoiled.swapped_labels(good)))
    assert all(torch.equal(value, twice[name]) for name, value in loaded(good).items())


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        pytest.param(spoiled.not_finite, "NonFiniteWeights", id="NaN"),
        pytest.param(spoiled.other_keys, "ArchitectureMismatch", id="other keys"),
        pytest.param(spoiled.code, "UnsafeWeights", id="code"),
        pytest.param(spoiled.truncated, "DamagedWeights", id="truncated"),
    ],
)
def test_the_server_refuses_spoiled_weights_for_the_reason_that_they_are_spoiled_for(
    good, tmp_path, spoil, reason
):
    with pytest.raises(StartupFailure) as failure:
        load_as_the_server_does(spoil(good), tmp_path)
    assert failure.value.reason == reason
