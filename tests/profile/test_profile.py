"""Profiles as data: totals, subtrees, JSON."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_modelbudget import Layer, Profile

COUNTS = st.integers(0, 2**62)
SHAPES = st.none() | st.lists(st.integers(0, 10_000), max_size=5).map(tuple)
LAYERS = st.builds(
    Layer,
    name=st.text(),
    type=st.text(),
    spec=st.text(),
    calls=COUNTS,
    input_shape=SHAPES,
    output_shape=SHAPES,
    params=COUNTS,
    size=COUNTS,
    macs=COUNTS,
    activations=COUNTS,
    peak_memory=COUNTS,
    dtypes=st.lists(st.sampled_from(["float32", "int8"])).map(tuple),
    shared_with=st.lists(st.text()).map(tuple),
    uncounted=st.dictionaries(st.text(), COUNTS, max_size=2),
)


@st.composite
def profiles(draw: st.DrawFn) -> Profile:
    rows = draw(st.lists(LAYERS, max_size=5, unique_by=lambda layer: layer.name))
    return Profile(
        layers={row.name: row for row in rows},
        peak_memory=draw(COUNTS),
        model=draw(st.text()),
        case=draw(st.text()),
        note=draw(st.text()),
    )


@given(profiles())
def test_a_profile_survives_as_json(profile: Profile) -> None:
    assert Profile.from_json(profile.to_json()) == profile


@given(profiles())
def test_json_has_a_layer_a_line(profile: Profile) -> None:
    text = profile.to_json()
    json.loads(text)
    rows = [line for line in text.split("\n") if line.startswith("  {")]
    assert len(rows) == len(profile.layers)


def test_the_order_of_layers_is_kept() -> None:
    profile = Profile(layers={name: Layer(name, "Linear") for name in ("b", "a", "c")}, peak_memory=0)
    assert list(Profile.from_json(profile.to_json()).layers) == ["b", "a", "c"]


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"layers": 3}', '{"layers": [], "colour": 1}', '{"layers": [{}]}'])
def test_what_is_no_profile_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="this is not the JSON of a profile"):
        Profile.from_json(text)


NESTED = Profile(
    layers={
        "": Layer("", "Net", macs=1),
        "a": Layer("a", "Block", macs=2, peak_memory=70),
        "a.b": Layer("a.b", "Linear", macs=4, params=3, uncounted={"aten.inv": 2}),
        "ab": Layer("ab", "Linear", macs=8, uncounted={"aten.inv": 1, "aten.lu": 1}),
    },
    peak_memory=100,
    model="net",
)


def test_totals_are_the_sums_of_the_rows() -> None:
    assert NESTED.totals() == {
        "params": 3,
        "trainable_params": 0,
        "size": 0,
        "macs": 15,
        "flops": 30,
        "activations": 0,
        "peak_memory": 100,
    }
    assert NESTED.uncounted == {"aten.inv": 3, "aten.lu": 1}


def test_a_subtree_has_its_children_and_not_its_namesakes() -> None:
    inner = NESTED["a"]
    assert list(inner.layers) == ["a", "a.b"]
    assert (inner.macs, inner.flops, inner.params, inner.peak_memory) == (6, 12, 3, 70)
    assert NESTED[""] == NESTED


def test_an_unknown_layer_is_a_key_error_with_the_nearest_name() -> None:
    with pytest.raises(KeyError, match=r'no layer "a\.c"; did you mean "a\.b"\?'):
        NESTED["a.c"]


def test_a_profile_shows_itself_as_a_layer_table() -> None:
    rows = [line.split() for line in str(NESTED).splitlines()]
    assert rows[0] == ["layer", "type", "output", "params", "size", "macs", "activations"]
    assert rows[3] == ["a.b", "Linear", "3", "0", "B", "4", "0"]
    assert rows[-1] == ["total", "3", "0", "B", "15", "0"]


def test_its_repr_is_a_line() -> None:
    assert repr(NESTED).startswith("Profile(net@default: params=3, ")
