"""What ``inputs`` of a case can describe."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_modelbudget.settings.inputs import (
    DTYPES,
    Keywords,
    ListSpec,
    Made,
    Positional,
    TableSpec,
    TensorSpec,
    ValueSpec,
    decode_inputs,
)
from pytest_modelbudget.text.wording import Mistake

few = settings(max_examples=200, deadline=None, database=None)


def tensor(**table: Any) -> TensorSpec:
    """The one tensor that ``table`` describes."""
    described = decode_inputs(table)
    assert isinstance(described, Positional)
    (spec,) = described.args
    assert isinstance(spec, TensorSpec)
    return spec


@pytest.mark.parametrize(
    ("value", "described"),
    [
        pytest.param([1, 3, 224, 224], Positional((TensorSpec((1, 3, 224, 224)),)), id="a shape"),
        pytest.param([], Positional(()), id="no arguments"),
        pytest.param([[1, 3], [2]], Positional((TensorSpec((1, 3)), TensorSpec((2,)))), id="two shapes"),
        pytest.param([[1, 3]], Positional((TensorSpec((1, 3)),)), id="one shape in a list"),
        pytest.param(
            [[[1, 3], [2]], [4]],
            Positional((ListSpec((TensorSpec((1, 3)), TensorSpec((2,)))), TensorSpec((4,)))),
            id="a list of tensors, and a tensor",
        ),
        pytest.param(
            [[1], {"shape": [2], "dtype": "int64"}],
            Positional((TensorSpec((1,)), TensorSpec((2,), "int64"))),
            id="a shape, and a table with a shape",
        ),
        pytest.param(
            [{"image": [1, 3], "flag": True}],
            Positional((TableSpec({"image": TensorSpec((1, 3)), "flag": ValueSpec(True)}),)),
            id="a dict as an argument",
        ),
        pytest.param({"shape": [1, 77]}, Positional((TensorSpec((1, 77)),)), id="a table with a shape"),
        pytest.param({"shape": []}, Positional((TensorSpec(()),)), id="a tensor without dimensions"),
        pytest.param({}, Keywords({}), id="no keyword arguments"),
        pytest.param(
            {
                "input_ids": {"shape": [1, 77], "dtype": "int64", "low": 1, "high": 1000},
                "pixels": [1, 3],
                "many": [[1], [2]],
                "use_cache": False,
                "steps": 3,
                "scale": 0.5,
                "task": "text",
                "nested": {"x": [5]},
            },
            Keywords(
                {
                    "input_ids": TensorSpec((1, 77), "int64", 1, 1000),
                    "pixels": TensorSpec((1, 3)),
                    "many": ListSpec((TensorSpec((1,)), TensorSpec((2,)))),
                    "use_cache": ValueSpec(False),
                    "steps": ValueSpec(3),
                    "scale": ValueSpec(0.5),
                    "task": ValueSpec("text"),
                    "nested": TableSpec({"x": TensorSpec((5,))}),
                }
            ),
            id="keyword arguments",
        ),
        pytest.param("my.inputs:make", Made("my.inputs:make"), id="a callable"),
        pytest.param("inputs:Make.batch", Made("inputs:Make.batch"), id="a callable of a class"),
    ],
)
def test_what_a_value_describes(value: object, described: object) -> None:
    assert decode_inputs(value) == described


@pytest.mark.parametrize("dtype", DTYPES)
def test_each_dtype_is_known(dtype: str) -> None:
    assert tensor(shape=[2], dtype=dtype) == TensorSpec((2,), dtype)


def test_a_range_alone_makes_an_int64_tensor_from_0() -> None:
    assert tensor(shape=[2], high=10) == TensorSpec((2,), "int64", 0, 10)


def test_a_range_may_reach_the_largest_value_of_its_dtype() -> None:
    assert tensor(shape=[2], dtype="uint8", high=256) == TensorSpec((2,), "uint8", 0, 256)


def test_a_truth_value_alone_makes_a_mask() -> None:
    assert tensor(shape=[2], fill=True) == TensorSpec((2,), "bool", fill=True)


def test_a_number_alone_fills_a_tensor_of_the_models_dtype() -> None:
    assert tensor(shape=[2], fill=1) == TensorSpec((2,), None, fill=1)


def test_an_integer_may_fill_a_float_tensor() -> None:
    assert tensor(shape=[2], dtype="float16", fill=1) == TensorSpec((2,), "float16", fill=1)


def test_infinity_may_fill_a_float_tensor() -> None:
    assert tensor(shape=[2], dtype="float32", fill=-math.inf).fill == -math.inf


@pytest.mark.parametrize(
    ("value", "path", "message"),
    [
        (5, (), 'must be a shape such as [1, 3, 224, 224], a list, a table, or "module:callable"; not 5'),
        (True, (), "not true"),
        (None, (), "not a NoneType"),
        ("1,3,224,224", (), 'or "module:callable"; not "1,3,224,224"'),
        ("a:", (), 'must read "module:callable", such as "torchvision.models:alexnet"; not "a:"'),
        (":b", (), 'not ":b"'),
        ("a b:c", (), 'not "a b:c"'),
        ("a:b:c", (), 'not "a:b:c"'),
        ("a:b()", (), 'not "a:b()"'),
        ("a..b:c", (), 'not "a..b:c"'),
        ([1, 0, 3], (1,), "is 0; a dimension is at least 1"),
        ([1, -3], (1,), "is -3; a dimension is at least 1"),
        ([2**63], (0,), "no tensor is so large"),
        ([1, [3]], (1,), "is a list in a list of integers; a shape has integers only"),
        ([[3], 1], (0,), "is a list in a list of integers"),
        ([1, 2.0], (1,), "is 2.0 in a list of integers"),
        ([1, True], (1,), "is true in a list of integers"),
        ([[1], "x"], (1,), 'not "x"; a value that is no tensor is passed by keyword, { name = value }'),
        ([1.5], (0,), "must be a shape, a list or a table, not 1.5"),
        ([[]], (0,), "is empty; a tensor without dimensions is written { shape = [] }"),
        ([[1], [[2], [0]]], (1, 1, 0), "is 0; a dimension is at least 1"),
        ({"x": [[1], [1, "a"]]}, ("x", 1, 1), 'is "a" in a list of integers'),
        ({"x": None}, ("x",), "must be a shape, a list or a table; not a NoneType"),
        ({"dtype": "int64", "high": 5}, (), "needs a shape, such as shape = [1, 77]"),
        ({"x": {"fill": 0}}, ("x",), "needs a shape, such as shape = [1, 77]"),
        ({"shape": 5}, ("shape",), "must be a list of integers, such as [1, 77]; not 5"),
        ({"shape": [1, "a"]}, ("shape", 1), 'must be an integer, not "a"'),
        ({"shape": [0]}, ("shape", 0), "is 0; a dimension is at least 1"),
        ({"shape": [1], "dtyp": "int64"}, ("dtyp",), 'unknown key; did you mean "dtype"?'),
        ({"shape": [1], "mask": 1}, ("mask",), "unknown key; known: shape, dtype, low, high and fill"),
        ({"shape": [1], "dtype": 5}, ("dtype",), 'must be a string such as "int64", not 5'),
        ({"shape": [1], "dtype": "flaot32"}, ("dtype",), 'unknown dtype "flaot32"; did you mean "float32"?'),
        ({"shape": [1], "dtype": "torch.long"}, ("dtype",), 'did you mean "int64"?'),
        ({"shape": [1], "dtype": "float"}, ("dtype",), 'did you mean "float32"?'),
        ({"shape": [1], "low": 5, "high": 5}, ("high",), "is 5; it must be above low, which is 5"),
        ({"shape": [1], "high": 0}, ("high",), "is 0; it must be above low, which is 0"),
        ({"shape": [1], "low": 5}, ("low",), "needs a high as well"),
        ({"shape": [1], "high": 5.0}, ("high",), "must be an integer, not 5.0"),
        ({"shape": [1], "low": True, "high": 5}, ("low",), "must be an integer, not true"),
        (
            {"shape": [1], "high": 5, "dtype": "float32"},
            ("dtype",),
            'low and high draw integers, but dtype is "float32"',
        ),
        (
            {"shape": [1], "high": 5, "dtype": "bool"},
            ("dtype",),
            'low and high draw integers, but dtype is "bool"',
        ),
        ({"shape": [1], "high": 200, "dtype": "int8"}, ("high",), "is 200, and no int8 can hold 199"),
        ({"shape": [1], "low": -1, "high": 2, "dtype": "uint8"}, ("low",), "is -1, which no uint8 can hold"),
        ({"shape": [1], "high": 5, "fill": 1}, ("fill",), "has no meaning beside high"),
        ({"shape": [1], "fill": "x"}, ("fill",), 'must be a number, true or false; not "x"'),
        (
            {"shape": [1], "fill": 1, "dtype": "bool"},
            ("fill",),
            'must be true or false, as dtype is "bool"; not 1',
        ),
        (
            {"shape": [1], "fill": True, "dtype": "int64"},
            ("fill",),
            'must be a number, as dtype is "int64"; not true',
        ),
        (
            {"shape": [1], "fill": 1.5, "dtype": "int64"},
            ("fill",),
            'must be an integer, as dtype is "int64"; not 1.5',
        ),
        ({"shape": [1], "fill": 256, "dtype": "uint8"}, ("fill",), "is 256, which no uint8 can hold"),
        ({"shape": [1], "fill": 2**70}, ("fill",), "which no tensor can hold"),
        ({"shape": [1], "fill": 65505, "dtype": "float16"}, ("fill",), "is 65505, which no float16 can hold"),
        ({"shape": [1], "fill": -3.5e38, "dtype": "complex64"}, ("fill",), "is -3.5e+38, which no complex64 can hold"),
        ({"shape": [1], "high": 2**63}, ("high",), "it is at most 9223372036854775807"),
    ],
)
def test_what_describes_no_inputs_is_refused_with_its_path(
    value: object, path: tuple[str | int, ...], message: str
) -> None:
    with pytest.raises(Mistake) as caught:
        decode_inputs(value)
    assert caught.value.path == path
    assert message in caught.value.message


@pytest.mark.parametrize("wrap", [lambda inner: [inner], lambda inner: {"x": inner}], ids=["lists", "tables"])
def test_nesting_without_end_is_refused(wrap: Any) -> None:
    value: object = [1]
    for _ in range(5000):
        value = wrap(value)
    with pytest.raises(Mistake, match="nested more than 32 deep"):
        decode_inputs(value)


scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5)
keys = st.sampled_from(["shape", "dtype", "low", "high", "fill", "x"])
values = st.recursive(
    scalars | st.lists(st.integers(0, 9), max_size=4) | st.sampled_from(DTYPES),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(keys, inner, max_size=4),
    max_leaves=12,
)


@few
@given(values)
def test_any_value_describes_inputs_or_is_refused_at_a_part_that_exists(value: Any) -> None:
    try:
        described = decode_inputs(value)
    except Mistake as mistake:
        for step in mistake.path:
            value = value[step]
    else:
        assert isinstance(described, Positional | Keywords | Made)


@few
@given(st.lists(st.integers(1, 10**6), min_size=1))
def test_any_positive_integers_are_the_shape_of_one_tensor(shape: list[int]) -> None:
    assert decode_inputs(shape) == Positional((TensorSpec(tuple(shape)),))
