"""Values that are not finite, wherever they are in a tensor."""

import pytest
import torch

from catfish_server.errors import NonFiniteWeights
from catfish_server.weights import statedict


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("bad", [float("nan"), float("inf"), float("-inf")])
def test_one_value_that_is_not_finite_is_found_at_every_place(bad, dtype):
    tensor = torch.linspace(-3, 3, 77).to(dtype)
    for place in range(len(tensor)):
        spoiled = tensor.clone()
        spoiled[place] = bad
        for value in (spoiled, spoiled.reshape(7, 11).t(), torch.stack([tensor, spoiled])):
            with pytest.raises(NonFiniteWeights, match="holds 1 values in 'a' that"):
                statedict.check_finite("a", value)


def test_values_that_are_not_finite_are_counted():
    spoiled = torch.tensor([1.0, float("nan"), float("-inf"), float("nan"), float("inf"), 2.0])
    with pytest.raises(NonFiniteWeights, match="holds 4 values in 'a' that"):
        statedict.check_finite("a", spoiled)


@pytest.mark.parametrize(
    "value",
    [
        torch.tensor([torch.finfo(torch.float32).max, torch.finfo(torch.float32).min]),
        torch.zeros(0, 3),
        torch.tensor(1.0),
        torch.arange(3),
        torch.tensor([True, False]),
        torch.tensor([1 + 2j]),
    ],
    ids=["the largest numbers", "empty", "one", "whole numbers", "truths", "complex"],
)
def test_what_has_only_finite_values_passes(value):
    statedict.check_finite("a", value)
