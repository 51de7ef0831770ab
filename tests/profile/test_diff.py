"""What changed between two profiles: which layer is which, why, and that it all adds up."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_modelbudget import Layer, Profile
from pytest_modelbudget.profile.causes import causes
from pytest_modelbudget.profile.changes import changes, names_text
from pytest_modelbudget.profile.diff import Diff, Row
from pytest_modelbudget.profile.layer_table import to_text
from pytest_modelbudget.profile.metrics import ADDITIVE

CONV = "64, 64, kernel_size=(3, 3), stride=(1, 1), padding=(1, 1)"


def leaf(name: str, kind: str = "Linear", spec: str = "", params: int = 0, **costs: Any) -> Layer:
    return Layer(
        name, kind, spec, **{"calls": 1, "trainable_params": params, "size": 4 * params, **costs}, params=params
    )


def linear(name: str, inputs: int, outputs: int) -> Layer:
    """A layer without bias on one row: inputs · outputs parameters and MACs."""
    spec = f"in_features={inputs}, out_features={outputs}, bias=False"
    return leaf(name, "Linear", spec, inputs * outputs, macs=inputs * outputs, dtypes=("float32",))


def profile(*layers: Layer) -> Profile:
    """A profile with a container for each parent that is not given."""
    known = {layer.name: layer for layer in layers}
    rows: dict[str, Layer] = {"": known.get("", Layer("", "Net"))}
    for layer in layers:
        parts = layer.name.split(".")
        for depth in range(1, len(parts)):
            parent = ".".join(parts[:depth])
            rows.setdefault(parent, known.get(parent, Layer(parent, "Sequential")))
        rows[layer.name] = layer
    return Profile(rows, peak_memory=0)


def told(diff: Diff) -> list[tuple[str, str | None, str | None]]:
    return [(row.kind, row.before, row.after) for row in diff.rows]


def only_row(before: Profile, after: Profile) -> Row:
    [row] = before.diff(after).rows
    return row


# -- which layer is which


def test_equal_profiles_have_no_changes() -> None:
    net = profile(linear("a", 4, 8), linear("b", 8, 2))
    diff = net.diff(net)
    assert not diff
    assert (diff.rows, diff.unchanged) == ((), 3)


def test_a_layer_of_the_same_name_and_type_changed() -> None:
    row = only_row(profile(linear("head", 4, 8)), profile(linear("head", 4, 16)))
    assert (row.kind, row.name, row.causes) == ("changed", "head", ("out_features 8 → 16",))
    assert row.deltas == {"params": 32, "trainable_params": 32, "size": 128, "macs": 32, "activations": 0}


def test_a_whole_subtree_that_came_is_one_row() -> None:
    block = [Layer("block", "Block"), linear("block.up", 4, 8), linear("block.down", 8, 4)]
    row = only_row(profile(linear("stem", 4, 4)), profile(linear("stem", 4, 4), *block))
    assert (row.kind, row.after, row.type, row.layers, row.delta("params")) == ("added", "block", "Block", 3, 64)


def test_a_whole_subtree_that_went_is_one_row() -> None:
    block = [Layer("block", "Block"), linear("block.up", 4, 8), linear("block.down", 8, 4)]
    row = only_row(profile(linear("stem", 4, 4), *block), profile(linear("stem", 4, 4)))
    assert (row.kind, row.before, row.after, row.layers, row.delta("params")) == ("removed", "block", None, 3, -64)


def test_a_layer_put_into_the_middle_of_a_sequence_is_one_layer_more() -> None:
    before = profile(linear("net.0", 4, 8), leaf("net.1", "ReLU"), linear("net.2", 8, 2))
    after = profile(
        linear("net.0", 4, 8),
        leaf("net.1", "ReLU"),
        linear("net.2", 8, 8),
        leaf("net.3", "ReLU"),
        linear("net.4", 8, 2),
    )
    assert told(before.diff(after)) == [("added", None, "net.2"), ("added", None, "net.3")]


def test_a_block_put_between_blocks_that_differ_is_one_block_more() -> None:
    before = profile(*(linear(f"blocks.{at}.fc", 4 + at, 4 + at) for at in range(6)))
    sizes = [4, 5, 99, 6, 7, 8, 9]
    after = profile(*(linear(f"blocks.{at}.fc", size, size) for at, size in enumerate(sizes)))
    assert told(before.diff(after)) == [("added", None, "blocks.2")]


def test_a_sequence_of_other_sizes_is_matched_by_name() -> None:
    before = profile(*(linear(f"stage{at}", at, at) for at in (1, 2, 3)))
    after = profile(*(linear(f"stage{at}", 2 * at, 2 * at) for at in (1, 2, 3)))
    assert {(row.before, row.after) for row in before.diff(after).rows} == {(f"stage{at}",) * 2 for at in (1, 2, 3)}


def test_a_renamed_layer_is_found_by_what_it_is() -> None:
    before = profile(linear("backbone", 4, 4), linear("fc", 4, 2))
    after = profile(linear("backbone", 4, 4), linear("head", 4, 2))
    assert told(before.diff(after)) == [("renamed", "fc", "head")]


def test_a_layer_renamed_and_changed_in_place_is_one_row() -> None:
    before = profile(linear("backbone", 4, 4), linear("fc", 4, 2))
    after = profile(linear("backbone", 4, 4), linear("head", 4, 3))
    row = only_row(before, after)
    assert (row.kind, row.before, row.after, row.causes) == (
        "changed",
        "fc",
        "head",
        ("was fc", "out_features 2 → 3"),
    )


def test_layers_moved_into_a_new_parent_are_renamed_together() -> None:
    before = profile(linear("stem", 4, 4), linear("fc", 4, 2))
    after = profile(linear("body.stem", 4, 4), linear("body.fc", 4, 2))
    diff = before.diff(after)
    [renamed] = [row for row in diff.rows if row.kind == "renamed"]
    assert (renamed.before, renamed.after, renamed.count) == ("stem", "body.stem", 2)
    assert diff.delta("params") == 0


def test_a_model_wrapped_into_another_is_found_inside() -> None:
    inner = [linear("stem", 4, 4), linear("fc", 4, 2)]
    before = profile(Layer("", "Net"), *inner)
    after = profile(
        Layer("", "Wrapper"),
        Layer("model", "Net"),
        *(replace(layer, name=f"model.{layer.name}") for layer in inner),
    )
    assert told(before.diff(after)) == [("renamed", "", "model"), ("added", None, "")]
    assert told(after.diff(before)) == [("renamed", "model", ""), ("removed", "", None)]


def test_a_layer_wrapped_where_it_was_is_one_change_that_says_where_it_is() -> None:
    before = profile(linear("fc", 64, 64))
    after = profile(
        Layer("fc", "LoRA"), replace(linear("fc.base", 64, 64), trainable_params=0), linear("fc.down", 64, 2)
    )
    row = only_row(before, after)
    assert (row.kind, row.causes, row.layers) == ("changed", ("Linear → LoRA, which holds it as base",), 3)
    assert (row.delta("params"), row.delta("trainable_params")) == (128, 128 - 64 * 64)


def test_numbered_siblings_that_came_are_one_row() -> None:
    before = profile(*(linear(f"layers.{at}.fc", 4, 4) for at in range(12)))
    after = profile(*(linear(f"layers.{at}.fc", 4, 4) for at in range(24)))
    row = only_row(before, after)
    assert (row.kind, row.name, row.last, row.count, row.delta("params")) == (
        "added",
        "layers.12",
        "layers.23",
        12,
        192,
    )
    assert names_text(row) == "layers.12 … layers.23"


def test_one_change_in_alike_layers_is_one_row() -> None:
    before = profile(*(linear(f"encoder.layers.layer_{at}.mlp.fc", 4, 4) for at in range(12)))
    after = profile(*(linear(f"encoder.layers.layer_{at}.mlp.fc", 4, 8) for at in range(12)))
    row = only_row(before, after)
    assert (row.count, row.causes, row.delta("params")) == (12, ("out_features 4 → 8",), 192)
    assert names_text(row) == "encoder.layers.layer_0…11.mlp.fc"


def test_layers_that_cost_more_only_since_their_inputs_are_larger_are_one_row() -> None:
    def convs(size: int) -> Profile:
        return profile(
            *(leaf(f"conv{at}", "Conv2d", CONV, 9, input_shape=(1, 64, size, size), macs=at * size) for at in (1, 2, 3))
        )

    row = only_row(convs(56), convs(64))
    assert (row.kind, row.count, row.causes) == ("changed", 3, ("input 1×64×56×56 → 1×64×64×64",))


def test_long_sequences_are_matched_too() -> None:
    before = profile(*(linear(f"layers.{at}", 4, 4 + at) for at in range(1000)))
    after = profile(*(linear(f"layers.{at}", 4, 5 + at) for at in range(1000)))
    assert {(row.kind, row.before == row.after) for row in before.diff(after).rows} == {("changed", True)}


def test_the_dearest_change_comes_first() -> None:
    before = profile(linear("small", 4, 4), linear("large", 64, 64))
    after = profile(linear("small", 4, 5), linear("large", 64, 65))
    assert [row.name for row in before.diff(after).rows] == ["large", "small"]


def test_rows_can_be_ranked_by_one_metric() -> None:
    before = profile(leaf("wide", params=100, macs=1), leaf("deep", params=1, macs=100))
    after = profile(leaf("wide", params=200, macs=1), leaf("deep", params=1, macs=300))
    assert [row.name for row in before.diff(after).ranked("params")] == ["wide", "deep"]
    assert [row.name for row in before.diff(after).ranked("flops")] == ["deep", "wide"]


def test_profiles_of_two_counters_are_not_compared_in_silence() -> None:
    net = profile(linear("a", 4, 8))
    [note] = net.diff(replace(net, counter="thop")).notes
    assert note == "counted with aten before and thop now: their MACs are not comparable"


def test_subtrees_can_be_compared() -> None:
    net = profile(linear("a.fc", 4, 8), linear("b.fc", 4, 16))
    assert net["a"].diff(net["b"]).delta("params") == 32


# -- why


@pytest.mark.parametrize(
    ("kind", "before", "after", "cause"),
    [
        ("Conv2d", CONV, CONV.replace("(3, 3)", "(5, 5)"), "kernel_size 3 → 5"),
        ("Conv2d", CONV, CONV.replace("(3, 3)", "(3, 5)"), "kernel_size 3 → (3, 5)"),
        ("Conv2d", CONV, f"{CONV}, groups=32", "groups 1 → 32"),
        ("Conv2d", f"{CONV}, groups=64", CONV, "groups 64 → 1"),
        ("Conv2d", CONV, f"{CONV}, bias=False", "bias True → False"),
        ("Conv2d", CONV, CONV.replace("64, 64", "64, 128"), "out_channels 64 → 128"),
        ("Conv2d", CONV, f"{CONV}, dilation=(2, 2)", "dilation 1 → 2"),
        ("BatchNorm2d", "64, eps=1e-05, momentum=0.1", "32, eps=1e-05, momentum=0.1", "num_features 64 → 32"),
        ("LayerNorm", "(64,), eps=1e-05", "(32,), eps=1e-05", "normalized_shape 64 → 32"),
        ("GroupNorm", "32, 64, eps=1e-05", "16, 64, eps=1e-05", "num_groups 32 → 16"),
        ("Embedding", "100, 16", "100, 32", "embedding_dim 16 → 32"),
        ("LSTM", "16, 8", "16, 8, num_layers=2", "num_layers 1 → 2"),
        ("Dropout", "p=0.5, inplace=False", "p=0.1, inplace=False", "p 0.5 → 0.1"),
        ("Mine", "width=3", "width=3, depth=2", "depth unset → 2"),
        ("Mine", "some words", "other words", "some words → other words"),
        ("Mine", "", "one, two", "nothing → one, two"),
    ],
)
def test_a_cause_is_in_the_words_of_the_module(kind: str, before: str, after: str, cause: str) -> None:
    assert causes(Layer("x", kind, before), Layer("x", kind, after)) == [cause]


BASE = leaf("x", "Conv2d", CONV, 36_928, macs=100, dtypes=("float32",), input_shape=(1, 64, 8, 8))


@pytest.mark.parametrize(
    ("change", "cause"),
    [
        ({"type": "Linear"}, "Conv2d → Linear"),
        ({"dtypes": ("float16",), "size": 73_856}, "dtype float32 → float16"),
        ({"trainable_params": 0}, "frozen"),
        ({"trainable_params": 64}, "partly frozen"),
        ({"calls": 2, "macs": 200}, "calls 1 → 2"),
        ({"input_shape": (1, 64, 16, 16), "macs": 400}, "input 1×64×8×8 → 1×64×16×16"),
        ({"params": 36_929, "trainable_params": 36_929}, "own parameters 36,928 → 36,929"),
        ({"size": 147_720}, "own bytes 147,712 → 147,720"),
        ({"macs": 101}, "other operations in its forward"),
        ({"params": 0, "trainable_params": 0, "size": 0, "shared_with": ("y",)}, "shared with y"),
    ],
)
def test_a_cause_for_each_kind_of_change(change: dict[str, Any], cause: str) -> None:
    assert causes(BASE, replace(BASE, **change)) == [cause]


def test_a_thawed_layer_is_no_longer_frozen() -> None:
    assert causes(replace(BASE, trainable_params=0), BASE) == ["no longer frozen"]


@pytest.mark.parametrize("change", [{"input_shape": (9, 9)}, {"calls": 5}, {"output_shape": (1,)}, {"peak_memory": 9}])
def test_what_costs_nothing_is_no_change(change: dict[str, Any]) -> None:
    assert causes(BASE, replace(BASE, **change)) == []


# -- it all adds up

NAMES = st.sampled_from(["0", "1", "2", "10", "conv1", "conv2", "fc", "head", "layer1", "layer2"])
COUNTS = st.integers(0, 4)


@st.composite
def trees(draw: st.DrawFn, depth: int = 3) -> list[Layer]:
    """The layers below one module, their names relative to it."""
    layers = []
    costs = st.fixed_dictionaries(dict.fromkeys(ADDITIVE, COUNTS))
    for name in draw(st.lists(NAMES, max_size=4, unique=True)):
        layers.append(
            Layer(
                name,
                draw(st.sampled_from(["Linear", "Conv2d", "Block", "ReLU"])),
                draw(st.sampled_from(["", "in_features=2, out_features=3", CONV])),
                draw(COUNTS),
                draw(st.sampled_from([None, (1, 2), (3, 4)])),
                dtypes=draw(st.sampled_from([(), ("float32",)])),
                **cast("Any", draw(costs)),
            )
        )
        if depth:
            layers += (replace(below, name=f"{name}.{below.name}") for below in draw(trees(depth - 1)))
    return layers


PROFILES = trees().map(lambda layers: Profile({each.name: each for each in [Layer("", "Net"), *layers]}, peak_memory=0))


@st.composite
def edited(draw: st.DrawFn) -> tuple[Profile, Profile]:
    """A profile, and the same with a subtree renamed, dropped or changed: as an edit of code makes it."""
    before = draw(PROFILES)
    layers = dict(before.layers)
    for name in draw(st.lists(st.sampled_from(sorted(layers)), max_size=3)):
        if not name or name not in layers:
            continue
        below = [each for each in layers if each == name or each.startswith(f"{name}.")]
        new = draw(st.sampled_from(["drop", "change", f"{name}x", f"new.{name}"]))
        for each in below:
            layer = layers.pop(each)
            if new == "change":
                layers[each] = replace(layer, macs=layer.macs + 1, spec="p=1")
            elif new != "drop":
                layers[new + each.removeprefix(name)] = replace(layer, name=new + each.removeprefix(name))
    return before, replace(before, layers={name: replace(layer, name=name) for name, layer in layers.items()})


def assert_adds_up(before: Profile, after: Profile) -> None:
    diff = before.diff(after)
    for key in (*ADDITIVE, "flops"):
        assert sum(row.delta(key) for row in diff.rows) == getattr(after, key) - getattr(before, key) == diff.delta(key)
    text = to_text(changes(diff, most=2))
    assert bool(diff.rows) == any(row.kind in text for row in diff.rows)


@given(PROFILES, PROFILES)
def test_the_rows_of_any_two_profiles_add_up(before: Profile, after: Profile) -> None:
    assert_adds_up(before, after)


@given(edited())
def test_the_rows_of_an_edited_profile_add_up(pair: tuple[Profile, Profile]) -> None:
    assert_adds_up(*pair)


@given(PROFILES)
def test_a_profile_is_what_it_is(net: Profile) -> None:
    assert not net.diff(net)
    assert net.diff(net).unchanged == len(net.layers)


@given(PROFILES, PROFILES)
def test_the_way_back_is_the_opposite(before: Profile, after: Profile) -> None:
    there, back = before.diff(after), after.diff(before)
    assert {key: there.delta(key) for key in ADDITIVE} == {key: -back.delta(key) for key in ADDITIVE}


# -- as a table


def test_what_is_left_out_of_a_table_is_summed_in_one_row() -> None:
    before = profile(linear("x", 4, 1), linear("y", 5, 1), linear("z", 6, 1))
    after = profile(linear("x", 4, 5), linear("y", 5, 4), linear("z", 6, 3))
    lines = to_text(changes(before.diff(after), most=1)).splitlines()
    assert [line.split()[:3] for line in lines[1:3]] == [["x", "+16", "+16"], ["2", "more", "+27"]]
    assert lines[4].split()[:3] == ["total", "+43", "+43"]


def test_a_metric_that_shows_a_change_alone_gets_a_column() -> None:
    frozen = profile(replace(linear("x", 4, 4), trainable_params=0))
    lines = to_text(changes(profile(linear("x", 4, 4)).diff(frozen))).splitlines()
    assert [line.split() for line in lines[:2]] == [
        ["layer", "trainable_params", "change"],
        ["x", "-16", "changed", "Linear:", "frozen"],
    ]


def test_a_diff_shows_itself() -> None:
    text = str(profile(linear("x", 4, 4)).diff(profile(linear("x", 4, 5))))
    assert "changed Linear: out_features 4 → 5" in text
