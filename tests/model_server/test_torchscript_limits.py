"""What docs/torchscript.md says of TorchScript, with the words that its user reads."""

import re
import warnings
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

PAGE = Path(__file__).resolve().parents[2] / "docs" / "torchscript.md"
X = torch.tensor([[1.0, -2.0, 3.0]])


@pytest.fixture(autouse=True)
def deprecated():
    """Every call of torch.jit warns."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def refused(module, *arguments):
    """What scripting the module, or calling the scripted one, is refused with."""
    with pytest.raises(RuntimeError) as caught:
        torch.jit.script(module)(*arguments)
    return str(caught.value)


def shown(message):
    """The message is one that the page shows."""
    assert message in " ".join(PAGE.read_text().split())
    return message


class Types(nn.Module):
    names: list[str]

    def __init__(self):
        super().__init__()
        self.names = ["cat", "fish"]
        self.places: dict[str, int] = {"cat": 0, "fish": 1}

    def forward(self, x: Tensor, name: str, times: int, by: float, negate: bool) -> Tensor:
        pair: tuple[Tensor, int] = (x, self.places[name])
        scaled = pair[0] * by * float(times) + pair[1] + len(self.names)
        return -scaled if negate else scaled

    @torch.jit.export
    def maybe(self, x: Tensor | None) -> list[int]:
        return [] if x is None else [x.size(0), x.size(1)]


def test_the_types_that_work():
    module = torch.jit.script(Types())
    assert torch.equal(module(X, "fish", 2, 0.5, True), -(X + 3))
    assert (module.maybe(None), module.maybe(X)) == ([], [1, 3])


class Mixed(nn.Module):
    def forward(self, x: Tensor, known: bool):
        if known:
            return x
        return "unknown"


def test_return_types_that_differ_are_refused():
    message = shown(
        "Previous return statement returned a value of type Tensor "
        "but this return statement returns a value of type str"
    )
    assert message in refused(Mixed())


class Untyped(nn.Module):
    def forward(self, x, times):
        return x * times


class Typed(nn.Module):
    def forward(self, x: Tensor, times: int):
        return x * times


def test_an_argument_without_a_type_is_a_tensor():
    message = shown(
        "Inferred 'times' to be of type 'Tensor' because it was not annotated with an explicit type."
    )
    assert message in refused(Untyped(), X, 2)
    assert torch.equal(torch.jit.script(Typed())(X, 2), X * 2)


class Late(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        self.seen = x
        return x


def test_an_attribute_that_init_does_not_declare_is_refused():
    message = shown(
        "Tried to set nonexistent attribute: seen. Did you forget to initialize it in __init__()?"
    )
    assert message in refused(Late())


class InBody(nn.Module):
    factor = 2 * torch.ones(1)

    def forward(self, x: Tensor) -> Tensor:
        return x * self.factor


class InInit(nn.Module):
    def __init__(self):
        super().__init__()
        self.factor = 2 * torch.ones(1)

    def forward(self, x: Tensor) -> Tensor:
        return x * self.factor


def test_an_expression_in_the_body_of_the_class_is_refused():
    assert shown("Module 'InBody' has no attribute 'factor'") in refused(InBody())
    assert torch.equal(torch.jit.script(InInit())(X), X * 2)


class Left(nn.Module):
    @torch.jit.ignore
    def look(self, x: Tensor) -> Tensor:
        return x.sort().values

    def forward(self, x: Tensor) -> Tensor:
        return self.look(x)


def test_a_call_that_is_left_to_python_runs_and_cannot_be_saved(tmp_path):
    module = torch.jit.script(Left())
    assert torch.equal(module(X), X.sort().values)
    with pytest.raises(RuntimeError) as caught:
        module.save(tmp_path / "left.pt")
    assert shown("Could not export Python function call 'look'.") in str(caught.value)


class Branches(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        if x.sum() > 0:
            return x * 10
        return x


def test_tracing_follows_one_branch_and_scripting_both():
    with pytest.warns(torch.jit.TracerWarning) as caught:
        traced = torch.jit.trace(Branches(), X)
    message = shown("Converting a tensor to a Python boolean might cause the trace to be incorrect.")
    assert any(message in str(warning.message) for warning in caught)
    assert torch.equal(traced(-X), -X * 10)  # and the module itself: -X
    assert torch.equal(torch.jit.script(Branches())(-X), -X)


def test_torch_itself_calls_it_deprecated():
    said = shown("`torch.jit.trace` is deprecated. Please switch to `torch.compile` or `torch.export`.")
    with pytest.warns(DeprecationWarning, match=re.escape(said)):
        torch.jit.trace(InInit(), X)
