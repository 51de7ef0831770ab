"""Each operation belongs to the innermost module whose forward is running, as its caller holds it."""

from __future__ import annotations

from contextlib import suppress

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from pytest_modelbudget import Profile, measure

# A Linear(4, 4) on one row.
ONE = 16


def own_macs(profile: Profile) -> dict[str, int]:
    return {name: layer.macs for name, layer in profile.layers.items() if layer.macs}


def test_functional_work_belongs_to_the_module_that_runs_it() -> None:
    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = nn.Linear(4, 4)
            self.weight = nn.Parameter(torch.zeros(4, 4))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.matmul(self.inner(x), self.weight)

    assert own_macs(measure(nn.Sequential(Block()), (1, 4))) == {"0": ONE, "0.inner": ONE}


def test_work_of_the_model_itself_has_a_row() -> None:
    class Root(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x @ x

    profile = measure(Root(), (4, 4))
    assert own_macs(profile) == {"": 64}
    assert profile.layers[""].type == "Root"


def test_a_module_of_two_parents_counts_where_it_ran_and_is_stored_once() -> None:
    class Parent(nn.Module):
        def __init__(self, shared: nn.Module) -> None:
            super().__init__()
            self.shared = shared

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.shared(x)  # type: ignore[no-any-return]

    class Root(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            shared = nn.Sequential(nn.Linear(4, 4))
            self.left = Parent(shared)
            self.right = Parent(shared)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.left(self.right(self.right(x)))  # type: ignore[no-any-return]

    profile = measure(Root(), (1, 4))
    assert own_macs(profile) == {"left.shared.0": ONE, "right.shared.0": 2 * ONE}
    assert profile.layers["right.shared.0"].calls == 2
    assert profile.layers["right.shared.0"].params == 0
    assert profile.layers["right.shared.0"].shared_with == ("left.shared.0",)
    assert profile.params == 20


def test_an_alias_that_never_runs_has_no_row() -> None:
    class Root(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first = nn.Linear(4, 4)
            self.same = self.first

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.first(x)  # type: ignore[no-any-return]

    assert list(measure(Root(), (1, 4)).layers) == ["", "first"]


def test_a_direct_call_of_forward_counts() -> None:
    class Root(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = nn.Linear(4, 4)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.inner.forward(x)

    assert own_macs(measure(Root(), (1, 4))) == {"inner": ONE}


def test_modules_of_a_list_have_the_names_of_the_list() -> None:
    class Root(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.blocks = nn.ModuleList(nn.Linear(4, 4) for _ in range(3))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            for block in self.blocks:
                x = block(x)
            return x

    assert own_macs(measure(Root(), (1, 4))) == {"blocks.0": ONE, "blocks.1": ONE, "blocks.2": ONE}


def test_a_module_that_calls_itself_counts_each_call() -> None:
    class Recursive(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.step = nn.Linear(4, 4)

        def forward(self, x: torch.Tensor, depth: int = 3) -> torch.Tensor:
            return x if depth == 0 else self(self.step(x), depth - 1)

    profile = measure(Recursive(), (1, 4))
    assert (profile.layers[""].calls, profile.layers["step"].calls, profile.macs) == (4, 3, 3 * ONE)


def test_a_module_that_knows_its_parent_is_measured() -> None:
    class Loop(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = nn.Linear(4, 4)
            self.inner.__dict__["parents"] = [self]

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.inner(x)  # type: ignore[no-any-return]

    assert own_macs(measure(Loop(), (1, 4))) == {"inner": ONE}


def test_an_exception_that_is_caught_inside_a_forward_leaves_the_attribution_right() -> None:
    class Failing(nn.Module):
        def forward(self, _x: torch.Tensor) -> torch.Tensor:
            raise RuntimeError("no")

    class Root(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.failing = Failing()
            self.weight = nn.Parameter(torch.zeros(4, 4))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            with suppress(RuntimeError):
                x = self.failing(x)
            return x @ self.weight

    assert own_macs(measure(Root(), (1, 4))) == {"": ONE}


def test_a_row_says_what_the_module_is() -> None:
    layer = measure(nn.Sequential(nn.Conv2d(3, 8, 3)), (2, 3, 10, 10)).layers["0"]
    assert layer.type == "Conv2d"
    assert layer.spec == "3, 8, kernel_size=(3, 3), stride=(1, 1)"
    assert (layer.calls, layer.input_shape, layer.output_shape) == (1, (2, 3, 10, 10), (2, 8, 8, 8))
    assert layer.dtypes == ("float32",)


def test_activations_are_what_the_counted_operations_write() -> None:
    # The convolution writes 8·8·8, the linear layer 2; what ReLU and flattening give is not counted.
    model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(512, 2))
    assert measure(model, (1, 3, 10, 10)).activations == 512 + 2


_LEAVES = st.sampled_from(["linear", "relu", "norm"])
_TREES = st.recursive(_LEAVES, lambda children: st.lists(children, min_size=1, max_size=3), max_leaves=8)


def _build(tree: object) -> nn.Module:
    if isinstance(tree, list):
        return nn.Sequential(*map(_build, tree))
    return {"linear": nn.Linear(4, 4), "relu": nn.ReLU(), "norm": nn.LayerNorm(4)}[str(tree)]


@settings(max_examples=50, deadline=None)
@given(_TREES)
def test_rows_add_up_to_what_the_tree_holds(tree: object) -> None:
    model = _build(tree)
    profile = measure(model, (3, 4))
    linears = sum(isinstance(module, nn.Linear) for module in model.modules())
    rows = profile.layers.values()
    assert sum(row.macs for row in rows) == profile.macs == 3 * ONE * linears
    assert sum(row.params for row in rows) == profile.params == sum(p.numel() for p in model.parameters())
    assert sum(row.size for row in rows) == profile.size == 4 * profile.params
    assert sum(row.activations for row in rows) == profile.activations == 3 * 4 * linears
    for name in profile.layers:
        inner = profile[name]
        assert inner.macs == sum(row.macs for row in inner.layers.values())


@pytest.mark.parametrize("name", ["fetures", "features.0.x"])
def test_there_is_no_profile_of_an_unknown_layer(name: str) -> None:
    with pytest.raises(KeyError):
        measure(nn.Sequential(nn.Linear(4, 4)), (1, 4))[name]
