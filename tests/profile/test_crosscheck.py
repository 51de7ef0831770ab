"""Why counters differ: each known reason, and that the reasons add up to the difference."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_modelbudget import Layer, Profile
from pytest_modelbudget.profile.crosscheck import FUNCTIONS, ROUNDING, RULE, compare, differing


def profile(*layers: Layer, counter: str = "aten", batch: int = 1) -> Profile:
    rows = {"": Layer("", "Net", input_shape=(batch, 4)), **{layer.name: layer for layer in layers}}
    return Profile(rows, peak_memory=0, counter=counter)


def reasons(layer: Layer, macs: int, counter: str = "thop", **operations: int) -> dict[str, int]:
    """Why a tool that counts ``macs`` in a layer differs."""
    ours, theirs = profile(layer), profile(replace(layer, macs=macs), counter=counter)
    found = compare(ours, theirs, {layer.name: {f"aten.{key}": value for key, value in operations.items()}})
    return {each.reason: each.macs for each in found.differences}


@pytest.mark.parametrize(
    ("layer", "macs", "reason"),
    [
        ({"type": "BatchNorm2d"}, 10, "counts normalization"),
        ({"type": "LayerNorm"}, 10, "counts normalization"),
        ({"type": "AdaptiveAvgPool2d"}, 10, "counts pooling"),
        ({"type": "ReLU6"}, 10, "counts activation functions, one an element"),
        ({"type": "Softmax"}, 10, "counts softmax"),
        ({"type": "Embedding"}, 10, "counts embedding"),
        ({"type": "Upsample"}, 10, "counts interpolation"),
        ({"type": "Mine"}, 10, "counts Mine modules, which multiply nothing"),
        ({"type": "Linear", "macs": 100, "output_shape": (2, 5)}, 110, "counts biases, one an output element"),
        ({"type": "Linear", "macs": 99, "calls": 3}, 297, "counts a module that is called 3 times as if it were 9"),
        ({"type": "Linear", "macs": 99, "calls": 3}, 33, "counts a module that is called 3 times as if it were 1"),
        ({"type": "Linear", "calls": 0}, 33, "counts a module that did not run, or did under another name"),
        ({"type": "LSTM", "macs": 100}, 0, "does not see recurrent cells"),
        # A reason that is not known is not made up: that a tool has another formula for the type is all that is known.
        ({"type": "LSTM", "macs": 100}, 120, "counts LSTM modules by a formula of its own"),
        ({"type": "ConvTranspose2d", "macs": 100}, 350, "counts ConvTranspose2d modules by a formula of its own"),
        ({"type": "Linear", "macs": 100}, 107, "counts Linear modules by a formula of its own"),
        (
            {"type": "Linear", "macs": 100, "output_shape": (7,), "spec": "bias=False"},
            107,
            "counts Linear modules by a formula of its own",
        ),
    ],
)
def test_a_difference_has_its_reason(layer: dict[str, Any], macs: int, reason: str) -> None:
    [(told, delta)] = reasons(Layer("x", **{"calls": 1, **layer}), macs).items()
    assert told == reason
    assert delta == macs - layer.get("macs", 0)


ATTENTION = Layer("x", "MultiheadAttention", calls=1, macs=100)
PRODUCTS = "does not see the attention products (queries with keys, weights with values)"


def test_attention_that_is_not_seen_is_told_in_its_two_parts() -> None:
    assert reasons(ATTENTION, 0, addmm=80, bmm=20) == {
        PRODUCTS: -20,
        "does not see the projections of attention modules": -80,
    }


def test_products_that_are_not_seen_are_told() -> None:
    assert reasons(ATTENTION, 80, addmm=80, _scaled_dot_product_flash_attention_for_cpu=20) == {PRODUCTS: -20}


def test_operations_of_which_a_tool_has_nothing_are_named() -> None:
    ours, theirs = profile(ATTENTION), profile(replace(ATTENTION, macs=0), counter="thop")
    assert compare(ours, theirs, {"x": {"aten.bmm": 20, "aten.addmm": 80}}).unseen == {"aten.bmm": 20, "aten.addmm": 80}


def test_products_that_are_seen_alone_leave_the_projections() -> None:
    assert reasons(ATTENTION, 20, addmm=80, bmm=20) == {"does not see the projections of attention modules": -80}


def test_products_outside_of_attention_are_no_attention() -> None:
    graph = Layer("x", "Messages", calls=1, macs=100)
    assert reasons(graph, 80, addmm=80, bmm=20) == {"does not see products of two activations": -20}


def test_what_is_counted_for_one_image_of_a_batch_is_told_once() -> None:
    layer = Layer("x", "Linear", calls=1, macs=80, output_shape=(8, 2))
    ours = profile(layer, batch=8)
    theirs = profile(replace(layer, macs=12), counter="ptflops", batch=8)
    found = compare(ours, theirs, {}, {"x": {RULE: 96}})
    # 8·12 = 96 with a bias for each of 16 outputs; seven eighths of it are left out.
    assert {each.reason: each.macs for each in found.differences} == {
        "counts one image of the batch of 8": -84,
        "counts biases, one an output element": 16,
    }
    # It may divide by something else than the first dimension of the first input.
    [_, average] = sorted(compare(ours, theirs, {}, {"x": {RULE: 36}}).differences, key=lambda each: each.macs)[::-1]
    assert (average.reason, average.macs) == ("counts Linear modules by a formula of its own", -44)


def test_functions_are_told_where_they_are_called() -> None:
    block, inner = Layer("block", "Block", calls=1, macs=50), Layer("block.act", "ReLU", calls=1)
    ours = profile(block, inner)
    theirs = profile(replace(inner, macs=6), counter="ptflops")
    theirs = replace(theirs, layers={**theirs.layers, "": replace(theirs.layers[""], macs=50 + 9 + 6)})
    parts = {"block": {"matmul": 50, "softmax": 9}, "block.act": {RULE: 6, "relu": 6}}
    found = compare(ours, theirs, {"block": {"aten.bmm": 50}}, parts)
    assert {each.reason: (each.macs, each.layers) for each in found.differences} == {
        "counts softmax": (9, ("block",)),
        "counts activation functions, one an element": (6, ("block.act",)),
        "counts relu again in a module that it has counted": (6, ("block.act",)),
    }
    assert found.unseen == {}


def test_a_module_with_two_names_is_one_module_whichever_name_a_tool_takes() -> None:
    first = Layer("a", "Linear", "2, 2", calls=0)
    second = Layer("b", "Linear", "2, 2", calls=1, macs=4, shared_with=("a",))
    ours = profile(first, second)
    theirs = profile(replace(first, macs=4), replace(second, macs=0), counter="thop")
    assert compare(ours, theirs, {}).differences == ()


LAYERS = st.builds(
    Layer,
    name=st.sampled_from("abcd"),
    type=st.sampled_from(["Linear", "ReLU", "LayerNorm", "MultiheadAttention", "LSTM", "Mine"]),
    calls=st.integers(0, 3),
    macs=st.integers(0, 9),
    output_shape=st.none() | st.just((2, 3)),
)
PROFILES = st.lists(LAYERS, max_size=4, unique_by=lambda layer: layer.name)


PARTS = st.dictionaries(
    st.sampled_from(["", *"abcde"]),
    st.dictionaries(st.sampled_from([RULE, ROUNDING, FUNCTIONS, "relu", "matmul", "norm", "odd"]), st.integers(-3, 9)),
)


@given(PROFILES, PROFILES, st.sampled_from(["thop", "ptflops", "fvcore"]), st.integers(1, 4), st.none() | PARTS)
def test_the_reasons_add_up_to_the_difference(
    mine: list[Layer], its: list[Layer], counter: str, batch: int, parts: dict[str, dict[str, int]] | None
) -> None:
    ours, theirs = profile(*mine, batch=batch), profile(*its, counter=counter, batch=batch)
    operations = {layer.name: {"aten.bmm": layer.macs // 2, "aten.mm": layer.macs - layer.macs // 2} for layer in mine}
    found = compare(ours, theirs, operations, parts)
    assert sum(each.macs for each in found.differences) == theirs.macs - ours.macs


def test_layers_that_differ_alike_are_one_row() -> None:
    layers = [Layer(f"layers.{at}.norm", "LayerNorm", calls=1) for at in range(12)]
    theirs = profile(*(replace(layer, macs=5) for layer in layers), counter="thop")
    [row] = differing({"aten": profile(*layers), "thop": theirs})
    assert (row.first, row.last, row.layers) == ("layers.0.norm", "layers.11.norm", 12)
    assert row.counts == {"aten": 0, "thop": 60}
