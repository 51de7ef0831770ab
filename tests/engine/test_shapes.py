"""The shapes, strides and dtypes that rules give are those that PyTorch's kernels for the CPU give."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from benchmarks.operators import described
from pytest_modelbudget.engine.layouts import is_plain
from pytest_modelbudget.engine.propagate import map_tensors
from pytest_modelbudget.engine.shapes import COMPARISONS, ELEMENTWISE, IN_PLACE, RULES

aten = torch.ops.aten
DTYPES = st.sampled_from([torch.float32, torch.float64, torch.bfloat16, torch.int64])
SHAPES = st.lists(st.integers(1, 4), min_size=1, max_size=4).map(tuple)


@st.composite
def tensors(draw: st.DrawFn, shape: tuple[int, ...] | None = None, dtype: torch.dtype | None = None) -> torch.Tensor:
    """A meta tensor, contiguous, transposed, or in the order of channels last."""
    shape = draw(SHAPES) if shape is None else shape
    tensor = torch.empty(shape, dtype=dtype or draw(DTYPES), device="meta")
    layout = draw(st.sampled_from(["contiguous", "contiguous", "transposed", "channels_last"]))
    if layout == "transposed" and len(shape) > 1:
        return torch.empty((*shape[:-2], shape[-1], shape[-2]), dtype=tensor.dtype, device="meta").transpose(-1, -2)
    if layout == "channels_last" and len(shape) == 4:
        return tensor.contiguous(memory_format=torch.channels_last)
    return tensor


def outcome(call: Any, *args: Any) -> Any:
    """What a call gives, as far as a result's description goes, or that it refuses its arguments."""
    try:
        out = call(*args)
    except (RuntimeError, IndexError, ValueError):
        return "refused"
    return [described(part) for part in (out if isinstance(out, tuple) else (out,))]


def kernel(func: Any) -> Any:
    """An operation that takes real tensors of zeros for tensors of the meta device."""

    def on_cpu(*args: Any, **kwargs: Any) -> Any:
        return func(*map_tensors(_zeros, args), **kwargs)

    return on_cpu


def _zeros(tensor: torch.Tensor) -> torch.Tensor:
    return torch.empty_strided(tensor.shape, tensor.stride(), dtype=tensor.dtype).zero_()


@settings(deadline=None, max_examples=50)
@given(st.data())
@pytest.mark.parametrize("func", ELEMENTWISE, ids=str)
def test_elementwise(func: Any, data: st.DataObject) -> None:
    first = data.draw(tensors())
    args: list[Any] = [first]
    if len([each for each in func._schema.arguments if not each.has_default_value() and not each.kwarg_only]) > 1:
        args.append(data.draw(st.one_of(st.just(2), st.just(0.5), tensors(), tensors(tuple(first.shape)))))
        if func is aten.pow.Tensor_Scalar and isinstance(args[1], torch.Tensor):
            args[1] = 2
    want = outcome(kernel(func), *args)
    # Some kernels know no integers, where the meta device says nothing; abstract tensors are none.
    assume(want != "refused" or first.dtype.is_floating_point)
    assert outcome(RULES[func], *args) == want


@settings(deadline=None, max_examples=50)
@given(st.data())
@pytest.mark.parametrize("func", IN_PLACE, ids=str)
def test_in_place(func: Any, data: st.DataObject) -> None:
    first = data.draw(tensors(dtype=data.draw(st.sampled_from([torch.float32, torch.bfloat16]))))
    args: list[Any] = [first]
    if len([each for each in func._schema.arguments if not each.has_default_value() and not each.kwarg_only]) > 1:
        number = st.just(2)
        scalar = func._overloadname == "Scalar"
        args.append(data.draw(number if scalar else st.one_of(number, tensors(tuple(first.shape)), tensors())))
    assert outcome(RULES[func], *args) == outcome(kernel(func), *args)


@settings(deadline=None, max_examples=50)
@given(st.data())
def test_products(data: st.DataObject) -> None:
    left, right = data.draw(tensors(dtype=torch.float32)), data.draw(tensors(dtype=torch.float32))
    if data.draw(st.booleans()) and left.dim() == 2:
        right = data.draw(tensors((left.shape[1], 3), dtype=data.draw(DTYPES)))
    assert outcome(RULES[aten.mm.default], left, right) == outcome(kernel(aten.mm.default), left, right)
    bias = data.draw(tensors(data.draw(st.sampled_from([(3,), (1,), (2, 3), (4, 3)])), dtype=torch.float32))
    assert outcome(RULES[aten.addmm.default], bias, left, right) == outcome(
        kernel(aten.addmm.default), bias, left, right
    )


@settings(deadline=None, max_examples=50)
@given(tensors(), st.sampled_from([0, 2.5]))
@pytest.mark.parametrize("func", COMPARISONS, ids=str)
def test_comparisons(func: Any, tensor: torch.Tensor, number: float) -> None:
    assert outcome(RULES[func], tensor, number) == outcome(kernel(func), tensor, number)


@settings(deadline=None, max_examples=50)
@given(st.data())
@pytest.mark.parametrize("func", [aten.bitwise_or.Tensor, aten.bitwise_and.Tensor], ids=str)
def test_logic(func: Any, data: st.DataObject) -> None:
    kinds = st.sampled_from([torch.bool, torch.int64])
    first = data.draw(tensors(dtype=data.draw(kinds)))
    other = data.draw(st.one_of(tensors(tuple(first.shape), data.draw(kinds)), tensors(dtype=torch.bool)))
    assert outcome(RULES[func], first, other) == outcome(kernel(func), first, other)


@settings(deadline=None, max_examples=50)
@given(tensors())
@pytest.mark.parametrize("func", [aten.any.default, aten.all.default], ids=str)
def test_truth_values(func: Any, tensor: torch.Tensor) -> None:
    assert outcome(RULES[func], tensor) == outcome(kernel(func), tensor)


BOUNDS = st.one_of(st.none(), st.integers(-6, 6))


@settings(deadline=None, max_examples=200)
@given(tensors(), st.integers(-5, 4), BOUNDS, BOUNDS, st.integers(1, 3))
def test_slices(tensor: torch.Tensor, dim: int, start: int | None, end: int | None, step: int) -> None:
    args = (tensor, dim, start, end, step)
    assert outcome(RULES[aten.slice.Tensor], *args) == outcome(kernel(aten.slice.Tensor), *args)


@settings(deadline=None, max_examples=50)
@given(tensors(), st.lists(st.integers(-3, 3), max_size=2), st.lists(st.integers(-4, 3), max_size=2))
def test_rolling(tensor: torch.Tensor, shifts: list[int], dims: list[int]) -> None:
    args = (tensor, shifts, dims)
    assert outcome(RULES[aten.roll.default], *args) == outcome(kernel(aten.roll.default), *args)


@settings(deadline=None, max_examples=50)
@given(st.data())
def test_indexing(data: st.DataObject) -> None:
    tensor = data.draw(tensors())
    indices = [data.draw(st.one_of(st.none(), tensors(dtype=torch.int64))) for _ in range(data.draw(st.integers(1, 2)))]
    assume(any(index is not None for index in indices))
    # Of an index that is transposed itself, the meta device does not know how the result lies in memory.
    assume(all(index is None or is_plain(index) for index in indices))
    got, want = (outcome(each, tensor, indices) for each in (RULES[aten.index.Tensor], kernel(aten.index.Tensor)))
    # Where dimensions of size 1 leave it open, the memory format may be called either way.
    assert [part[:2] for part in got] == [part[:2] for part in want]


@settings(deadline=None, max_examples=50)
@given(tensors(), st.sampled_from([None, torch.contiguous_format, torch.preserve_format, torch.channels_last]))
def test_clones(tensor: torch.Tensor, memory_format: torch.memory_format | None) -> None:
    kwargs = {} if memory_format is None else {"memory_format": memory_format}
    rule, clone = (partial(call, **kwargs) for call in (RULES[aten.clone.default], kernel(aten.clone.default)))
    assert outcome(rule, tensor) == outcome(clone, tensor)


@settings(deadline=None, max_examples=50)
@given(st.data())
def test_layer_norm(data: st.DataObject) -> None:
    inputs = data.draw(tensors(dtype=data.draw(st.sampled_from([torch.float32, torch.bfloat16]))))
    normalized = list(inputs.shape[-data.draw(st.integers(1, inputs.dim())) :])
    weight = data.draw(
        st.one_of(st.none(), tensors(tuple(normalized), dtype=inputs.dtype), tensors(dtype=inputs.dtype))
    )
    args = (inputs, normalized, weight, weight, 1e-5)
    assert outcome(RULES[aten.native_layer_norm.default], *args) == outcome(
        kernel(aten.native_layer_norm.default), *args
    )


@settings(deadline=None, max_examples=50)
@given(st.data())
def test_batch_norm_in_training(data: st.DataObject) -> None:
    # More than one value a channel: of one there is no variance, and the meta device divides by zero.
    several = SHAPES.filter(lambda shape: len(shape) > 1 and math.prod(shape) > shape[1])
    inputs = data.draw(tensors(data.draw(several), dtype=torch.float32))
    vector = torch.empty(inputs.shape[1], device="meta")
    args = (inputs, vector, vector, vector, vector, True, 0.1, 1e-5)
    got, want = (
        outcome(call, *args) for call in (RULES[aten.native_batch_norm.default], kernel(aten.native_batch_norm.default))
    )
    assert got == want


@settings(deadline=None, max_examples=50)
@given(st.data())
def test_batch_norm_outside_training_saves_nothing(data: st.DataObject) -> None:
    shape = data.draw(SHAPES.filter(lambda shape: len(shape) > 1))
    inputs, vector = torch.zeros(shape), torch.ones(shape[1])
    args = (inputs, vector, vector, vector, vector, False, 0.1, 1e-5)
    on_meta = [each.to("meta") if isinstance(each, torch.Tensor) else each for each in args]
    # Held against the kernel for the CPU itself.
    assert outcome(RULES[aten.native_batch_norm.default], *on_meta) == outcome(
        kernel(aten.native_batch_norm.default), *args
    )


@pytest.mark.parametrize(
    ("left", "right", "offsets"),
    [
        ((10, 16), (2, 16, 8), True),
        ((2, 10, 16), (2, 16, 8), False),
        ((2, 8, 16), (16, 16), True),
        ((8, 32), (32, 8), True),
    ],
)
def test_grouped_products(left: tuple[int, ...], right: tuple[int, ...], offsets: bool) -> None:
    # Held against the kernel for the CPU itself, in the dtype that it and the meta device take.
    a, b = (torch.zeros(shape, dtype=torch.bfloat16) for shape in (left, right))
    ends = torch.tensor([4, 8], dtype=torch.int32) if offsets else None
    got = RULES[aten._grouped_mm.default](a.to("meta"), b.to("meta"), None if ends is None else ends.to("meta"))
    try:
        want = torch._grouped_mm(a, b, offs=ends)
    except NotImplementedError:
        pytest.skip("this version of torch has no kernel for the CPU to hold it against")
    assert got.shape == want.shape
