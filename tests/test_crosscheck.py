"""Why counters differ: each known reason, and that the reasons add up to the difference."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_modelbudget import Layer, Profile
from pytest_modelbudget.crosscheck import compare, differing


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
        ({"type": "Mine"}, 10, "counts elementwise work"),
        ({"type": "Linear", "macs": 100, "output_shape": (2, 5)}, 110, "counts biases, one an output element"),
        (
            {"type": "Linear", "macs": 100, "calls": 3},
            300,
            "counts a module that is called 3 times or shared more often",
        ),
        ({"type": "LSTM", "macs": 100}, 0, "does not see recurrent cells"),
        ({"type": "LSTM", "macs": 100}, 120, "counts biases and elementwise work of recurrent cells"),
        ({"type": "Bilinear", "macs": 100}, 20, "counts a bilinear layer as a linear one"),
        ({"type": "ConvTranspose2d", "macs": 100}, 350, "counts a transposed convolution by its output, or all"),
        ({"type": "Linear", "macs": 100}, 107, "counts otherwise, for no reason known here"),
    ],
)
def test_a_difference_has_its_reason(layer: dict[str, Any], macs: int, reason: str) -> None:
    [(told, delta)] = reasons(Layer("x", **{"calls": 1, **layer}), macs).items()
    assert told.startswith(reason)
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


def test_ptflops_counts_one_image_of_a_batch() -> None:
    layer = Layer("x", "Linear", calls=1, macs=80, output_shape=(8, 2))
    ours = profile(layer, batch=8)
    theirs = profile(replace(layer, macs=12), counter="ptflops", batch=8)
    found = compare(ours, theirs, {})
    # 8·12 = 96 with a bias for each of 16 outputs; seven eighths of it are left out.
    assert {each.reason: each.macs for each in found.differences} == {
        "counts one image of the batch of 8": -84,
        "counts biases, one an output element": 16,
    }


LAYERS = st.builds(
    Layer,
    name=st.sampled_from("abcd"),
    type=st.sampled_from(["Linear", "ReLU", "LayerNorm", "MultiheadAttention", "LSTM", "Mine"]),
    calls=st.integers(0, 3),
    macs=st.integers(0, 9),
    output_shape=st.none() | st.just((2, 3)),
)
PROFILES = st.lists(LAYERS, max_size=4, unique_by=lambda layer: layer.name)


@given(PROFILES, PROFILES, st.sampled_from(["thop", "ptflops", "fvcore"]), st.integers(1, 4))
def test_the_reasons_add_up_to_the_difference(mine: list[Layer], its: list[Layer], counter: str, batch: int) -> None:
    ours, theirs = profile(*mine, batch=batch), profile(*its, counter=counter, batch=batch)
    operations = {layer.name: {"aten.bmm": layer.macs // 2, "aten.mm": layer.macs - layer.macs // 2} for layer in mine}
    found = compare(ours, theirs, operations)
    assert sum(each.macs for each in found.differences) == theirs.macs - ours.macs


def test_layers_that_differ_alike_are_one_row() -> None:
    layers = [Layer(f"layers.{at}.norm", "LayerNorm", calls=1) for at in range(12)]
    theirs = profile(*(replace(layer, macs=5) for layer in layers), counter="thop")
    [row] = differing({"aten": profile(*layers), "thop": theirs})
    assert (row.first, row.last, row.layers) == ("layers.0.norm", "layers.11.norm", 12)
    assert row.counts == {"aten": 0, "thop": 60}
