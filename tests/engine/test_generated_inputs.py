"""Whatever stands under ``inputs`` makes tensors of just the shapes and dtypes that it says, or is refused."""

from __future__ import annotations

import math
from typing import Any

import torch
from hypothesis import assume, event, given
from hypothesis import strategies as st

from pytest_modelbudget.engine.abstract import AbstractTensor
from pytest_modelbudget.engine.arguments import Maker, described_inputs
from pytest_modelbudget.engine.memory import Memory
from pytest_modelbudget.settings.inputs import DTYPES, INTEGERS, Keywords, Made, decode_inputs
from pytest_modelbudget.text.wording import Mistake
from tests.examples import examples
from tests.properties.mutations import at, mutated
from tests.properties.toml import ODD

SIZES = st.integers(1, 4)
SHAPES = st.lists(SIZES, max_size=3)
EDGES = sorted(
    {edge + step for values in INTEGERS.values() for edge in (values.start, values.stop) for step in (-1, 0)}
)
NUMBERS = st.integers(-9, 9) | st.sampled_from(EDGES)
TENSORS = SHAPES.filter(bool) | st.fixed_dictionaries(
    {"shape": SHAPES},
    optional={
        "dtype": st.sampled_from(DTYPES),
        "low": NUMBERS,
        "high": NUMBERS,
        "fill": NUMBERS | st.booleans() | st.floats(),
    },
)
VALUES = TENSORS | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=3)
NESTS = st.recursive(
    TENSORS,
    lambda inner: (
        st.lists(inner, min_size=1, max_size=3)
        | st.dictionaries(st.sampled_from(["x", "mask", "low"]), inner | VALUES, max_size=2)
    ),
    max_leaves=4,
)
NEARLY = NESTS.flatmap(lambda value: mutated({"inputs": value}, ODD, most=2)).map(lambda holder: holder.get("inputs"))


def small(value: Any) -> bool:
    """Whether a real tensor of any shape in ``value`` fits in memory."""
    if isinstance(value, dict):
        return all(map(small, value.values()))
    if isinstance(value, list):
        sizes = [each for each in value if type(each) is int]
        return all(map(small, value)) and abs(math.prod(sizes)) < 10**6
    return True


def fits(value: Any, default: torch.dtype) -> bool:
    """Whether no tensor is filled with more than the dtype of the model, which the settings do not know, can hold."""
    if isinstance(value, dict):
        fill = value.get("fill", 0) if "shape" in value and "dtype" not in value else 0
        is_number = isinstance(fill, int | float)
        return all(fits(each, default) for each in value.values()) and not (
            is_number and torch.finfo(default).max < abs(fill) < math.inf
        )
    return not isinstance(value, list) or all(fits(each, default) for each in value)


def is_tensor(value: Any) -> bool:
    """Whether ``value`` describes one tensor."""
    if isinstance(value, dict):
        return "shape" in value
    return isinstance(value, list) and bool(value) and all(type(each) is int for each in value)


def assert_made(made: Any, value: Any, default: torch.dtype) -> None:
    """``made`` is what ``value`` describes, by the words of the README."""
    if is_tensor(value):
        assert_tensor(made, {"shape": value} if isinstance(value, list) else value, default)
    elif isinstance(value, dict):
        assert made.keys() == value.keys()
        for key in value:
            assert_made(made[key], value[key], default)
    elif isinstance(value, list):
        assert isinstance(made, list)
        for one, part in zip(made, value, strict=True):
            assert_made(one, part, default)
    else:
        assert made is value


def assert_tensor(made: Any, value: dict[str, Any], default: torch.dtype) -> None:
    assert list(made.shape) == value["shape"]
    is_drawn = "high" in value
    is_mask = isinstance(value.get("fill"), bool)
    dtype = getattr(torch, value["dtype"]) if "dtype" in value else torch.int64 if is_drawn else default
    assert made.dtype == (torch.bool if is_mask else dtype)
    if isinstance(made, AbstractTensor):
        assert dtype.is_floating_point or dtype.is_complex
        return
    if is_drawn:
        assert value.get("low", 0) <= int(made.min()) <= int(made.max()) < value["high"]
    elif "fill" in value:
        expected = torch.tensor(value["fill"], dtype=made.dtype)
        assert bool(((made == expected) | (made.isnan() & expected.isnan())).all())


@examples(400)
@given(NEARLY | NESTS, st.booleans(), st.sampled_from([torch.float32, torch.float64, torch.bfloat16]))
def test_what_is_accepted_makes_just_those_tensors_and_the_rest_is_refused_at_a_part_that_exists(
    value: Any, is_abstract: bool, dtype: torch.dtype
) -> None:
    try:
        described = decode_inputs(value)
    except Mistake as mistake:
        event("refused")
        at(value, mistake.path)
        return
    event("accepted")
    if isinstance(described, Made):
        assert described.by == value
        return
    assume(small(value))
    assume(is_abstract or fits(value, dtype))
    maker = Maker(Memory(), abstract=is_abstract, dtype=dtype, cast=False, device=torch.device("cpu"))
    args, kwargs = described_inputs(described, lambda path: path)(maker)
    if isinstance(described, Keywords):
        assert_made(kwargs, value, dtype)
    elif is_tensor(value):
        assert len(args) == 1
        assert_made(args[0], value, dtype)
    else:
        assert len(args) == len(value)
        for one, part in zip(args, value, strict=True):
            assert_made(one, part, dtype)
