"""Any network costs what a textbook says, however it is measured, and is left as it was."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Literal

import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from pytest_modelbudget import Profile, measure
from tests.engine.generated_networks import NETWORKS, Shape, Tree
from tests.examples import examples

MODES: st.SearchStrategy[Literal["eval", "train"]] = st.sampled_from(["eval", "train"])


@examples(100)
@given(NETWORKS)
def test_each_layer_costs_what_a_textbook_says(network: tuple[Shape, Tree]) -> None:
    shape, tree = network
    profile = measure(tree.build(), shape)
    assert list(profile.layers) == list(tree.costs)
    for name, cost in tree.costs.items():
        layer = profile.layers[name]
        assert (name, layer.params, layer.trainable_params) == (name, cost.params, cost.params)
        assert (name, layer.size) == (name, 4 * cost.params + cost.buffers)
        assert (name, layer.macs, layer.calls) == (name, cost.macs, cost.calls)
    costs = tree.costs.values()
    assert profile.params == profile.trainable_params == sum(cost.params for cost in costs)
    assert profile.macs == profile.flops // 2 == sum(cost.macs for cost in costs)


@examples(60)
@given(NETWORKS)
def test_a_layer_and_what_is_under_it_add_up(network: tuple[Shape, Tree]) -> None:
    shape, tree = network
    profile = measure(tree.build, shape)
    for name, layer in profile.layers.items():
        children = (
            [each for each in profile.layers if each.rpartition(".")[0] == name and each]
            if name
            else [each for each in profile.layers if each and "." not in each]
        )
        for key in ("params", "trainable_params", "size", "macs", "flops", "activations"):
            below = sum(getattr(profile[each], key) for each in children)
            assert getattr(profile[name], key) == getattr(layer, key) + below


@examples(60)
@given(NETWORKS, MODES)
def test_a_module_and_its_factory_cost_the_same_with_tensors_and_without(
    network: tuple[Shape, Tree], mode: Literal["eval", "train"]
) -> None:
    shape, tree = network

    def measured(model: Any, run: Literal["abstract", "real"]) -> Profile:
        profile = measure(model, shape, mode=mode, run=run)
        assert profile.run == run
        return replace(profile, run="")

    given_module = measured(tree.build(), "abstract")
    assert measured(tree.build, "abstract") == given_module
    assert measured(tree.build(), "real") == given_module
    assert measured(tree.build, "real") == given_module


def state_of(model: nn.Module) -> list[Any]:
    """All of a model that measuring may not change, the bits of its tensors included."""
    tensors = [*model.named_parameters(remove_duplicate=False), *model.named_buffers(remove_duplicate=False)]
    return [
        [(name, id(each), each.data_ptr(), each.requires_grad, each.grad, each._version) for name, each in tensors],
        {name: each.clone().numpy().tobytes() for name, each in model.state_dict().items()},
        [
            (name, id(each), each.training, sorted(vars(each)))
            for name, each in model.named_modules(remove_duplicate=False)
        ],
        [(key, len(value)) for each in model.modules() for key, value in vars(each).items() if key.endswith("_hooks")],
        torch.get_rng_state().numpy().tobytes(),
        torch.is_grad_enabled(),
    ]


@examples(60)
@given(NETWORKS, MODES, st.sampled_from(["abstract", "real"]), st.data())
def test_a_module_is_left_bit_for_bit_as_it_was(
    network: tuple[Shape, Tree], mode: Literal["eval", "train"], run: Any, data: st.DataObject
) -> None:
    shape, tree = network
    model = tree.build()
    for module in model.modules():
        module.training = data.draw(st.booleans())
    for parameter in model.parameters():
        parameter.requires_grad_(data.draw(st.booleans()))
    before = state_of(model)
    profile = measure(model, shape, mode=mode, run=run)
    assert state_of(model) == before
    assert profile.trainable_params == sum(each.numel() for each in model.parameters() if each.requires_grad)
