"""Shapes of results that PyTorch's meta device gets wrong, refuses to give, cannot know, or is slow to give.

The meta device takes some operations apart in Python, which costs up to milliseconds a call. For those that nearly
every network uses, the rules here give the same result at once where the arguments are of the plain kind (contiguous,
of one dtype), and leave all else, wrong arguments too, to the meta device.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from pytest_modelbudget.engine.abstract import AbstractTensor, describe, view
from pytest_modelbudget.engine.dtypes import require_one_dtype
from pytest_modelbudget.engine.kernels import KERNELS, native_batch_norm, native_layer_norm
from pytest_modelbudget.engine.layouts import is_plain, overlaps

aten = torch.ops.aten
# In which a norm's statistics have the dtype of its input.
_EXACT = (torch.float32, torch.float64)
Make = Callable[..., AbstractTensor]  # of a description, and of the storage's size where that is another


def _grouped_product(left: torch.Tensor, right: torch.Tensor, *args: Any, **kwargs: Any) -> torch.Tensor:
    """On the meta device only the dtypes of some GPUs are taken; the shapes are the same in each."""
    offsets = kwargs.get("offs", args[0] if args else None)
    dtype = kwargs.get("out_dtype", args[2] if len(args) > 2 else None) or left.dtype
    rows, columns = left.shape[-2], right.shape[-1]
    if left.dim() == right.dim() == 3:
        shape: tuple[int, ...] = (left.shape[0], rows, columns)
    elif left.dim() == right.dim() == 2:
        shape = (0 if offsets is None else offsets.shape[0], rows, columns)
    else:
        shape = (rows, columns)
    if left.shape[-1] != right.shape[-2]:
        raise RuntimeError(f"contraction dimension of mat_a and mat_b must match, not {left.shape} and {right.shape}")
    return torch.empty(shape, dtype=dtype, device=left.device)


def _batch_norm(
    inputs: torch.Tensor, weight: Any, bias: Any, mean: Any, var: Any, training: bool, *args: float
) -> tuple[torch.Tensor, ...]:
    plain = is_plain(inputs) and inputs.dtype in _EXACT and inputs.dim() > 1
    if plain and all(_is_weight(each, inputs, inputs.shape[1:2]) for each in (weight, bias, mean, var)):
        saved = inputs.new_empty(inputs.shape[1] if training else 0)
        return torch.empty_like(inputs), saved, torch.empty_like(saved)
    return native_batch_norm(inputs, weight, bias, mean, var, training, *args)


def _layer_norm(
    inputs: torch.Tensor, normalized: list[int], weight: Any, bias: Any, epsilon: float
) -> tuple[torch.Tensor, ...]:
    outer = inputs.dim() - len(normalized)
    plain = is_plain(inputs) and inputs.dtype in _EXACT and list(inputs.shape[outer:]) == list(normalized)
    if plain and all(_is_weight(each, inputs, inputs.shape[outer:]) for each in (weight, bias)):
        statistics = inputs.new_empty((*inputs.shape[:outer], *(1 for _ in normalized)))
        return torch.empty_like(inputs), statistics, torch.empty_like(statistics)
    return native_layer_norm(inputs, normalized, weight, bias, epsilon)


def _is_weight(weight: torch.Tensor | None, inputs: torch.Tensor, shape: torch.Size) -> bool:
    return weight is None or (weight.shape == shape and weight.dtype == inputs.dtype)


def _added_product(bias: torch.Tensor, left: torch.Tensor, right: torch.Tensor, **kwargs: Any) -> torch.Tensor:
    product = _can_be_multiplied(left, right) and bias.dtype == left.dtype
    if product and tuple(bias.shape) in ((), (1,), (right.shape[1],), (left.shape[0], right.shape[1])):
        return left.new_empty((left.shape[0], right.shape[1]))
    require_one_dtype(bias, left, right)
    out: torch.Tensor = aten.addmm.default(bias, left, right, **kwargs)
    bias.expand(left.shape[0], right.shape[1])
    return out


def _product(left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
    if _can_be_multiplied(left, right):
        return left.new_empty((left.shape[0], right.shape[1]))
    require_one_dtype(left, right)
    return aten.mm.default(left, right)  # type: ignore[no-any-return]


def _can_be_multiplied(left: torch.Tensor, right: torch.Tensor) -> bool:
    return left.dim() == right.dim() == 2 and left.shape[1] == right.shape[0] and left.dtype == right.dtype


def _slice(
    tensor: torch.Tensor, dim: int = 0, start: int | None = None, end: int | None = None, step: int = 1
) -> torch.Tensor:
    if tensor.dim() == 0 or step < 1 or not -tensor.dim() <= dim < tensor.dim():
        return aten.slice.Tensor(tensor, dim, start, end, step)  # type: ignore[no-any-return]
    shape, strides = list(tensor.shape), list(tensor.stride())
    taken = range(shape[dim])[slice(start, end, step)]
    offset = taken.start * strides[dim]
    shape[dim] = len(taken)
    strides[dim] *= step
    return tensor.as_strided(shape, strides, offset)


def _roll(tensor: torch.Tensor, shifts: Any, dims: Any = ()) -> torch.Tensor:
    known = tensor.dim() and all(-tensor.dim() <= dim < tensor.dim() for dim in dims)
    if known and len(shifts) == max(len(dims), 1) and is_plain(tensor):
        return torch.empty_like(tensor)
    out: torch.Tensor = aten.roll.default(tensor, shifts, dims)
    if not dims or not tensor.numel():
        return out
    # Both parts of one dimension after the other are put together.
    for shift, dim in zip(shifts, dims, strict=True):
        start = -shift % tensor.shape[dim]
        parts = tensor.narrow(dim, start, tensor.shape[dim] - start), tensor.narrow(dim, 0, start)
        tensor = torch.cat(parts, dim)
    return tensor


def _index(tensor: torch.Tensor, indices: list[torch.Tensor | None]) -> torch.Tensor:
    first = indices[0] if indices else None
    single = first is not None and len(indices) == 1 and first.dtype is torch.int64 and tensor.dim()
    if first is not None and single and is_plain(tensor) and is_plain(first):
        return tensor.new_empty((*first.shape, *tensor.shape[1:]))
    return aten.index.Tensor(tensor, indices)  # type: ignore[no-any-return]


def _clone(tensor: torch.Tensor, **kwargs: Any) -> torch.Tensor:
    if kwargs.get("memory_format") in (None, torch.preserve_format) and is_plain(tensor):
        return torch.empty_like(tensor)
    if kwargs.get("memory_format") is torch.contiguous_format:
        return tensor.new_empty(tensor.shape)
    return aten.clone.default(tensor, **kwargs)  # type: ignore[no-any-return]


def _elementwise(func: Any) -> Callable[..., Any]:
    """Of one tensor and numbers, or of tensors of one shape and dtype: the result is like them."""

    def like_the_first(first: torch.Tensor, *others: Any, **kwargs: Any) -> Any:
        plain = not kwargs and is_plain(first) and first.dtype.is_floating_point
        if plain and all(_is_like(first, other) for other in others):
            return torch.empty_like(first)
        out = func(first, *others, **kwargs)
        # Whatever the strides of dimensions of size 1 are; with a number beside it they count.
        if all(_fits(each, out) for each in (first, *others)):
            return out.new_empty(out.shape)
        return out

    return like_the_first


def _fits(tensor: Any, out: torch.Tensor) -> bool:
    return isinstance(tensor, torch.Tensor) and tensor.is_contiguous() and tensor.shape == out.shape


def _in_place(func: Any) -> Callable[..., Any]:
    otherwise = KERNELS.get(func, func)

    def the_first(first: torch.Tensor, *others: Any, **kwargs: Any) -> Any:
        plain = not kwargs and first.dtype.is_floating_point and not overlaps(first)
        if plain and all(_is_like(first, other) for other in others):
            return first
        return otherwise(first, *others, **kwargs)

    return the_first


def _comparison(func: Any) -> Callable[..., Any]:
    """Of a tensor and a number: as many truth values."""

    def truth_values(first: torch.Tensor, other: Any) -> Any:
        if is_plain(first) and isinstance(other, int | float):
            return torch.empty_like(first, dtype=torch.bool)
        return func(first, other)

    return truth_values


def _truth_value(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.new_empty((), dtype=torch.uint8 if tensor.dtype is torch.uint8 else torch.bool)


def _logic(func: Any) -> Callable[..., Any]:
    def truth_values(first: torch.Tensor, other: torch.Tensor) -> Any:
        if first.dtype is torch.bool and is_plain(first) and _is_like(first, other):
            return torch.empty_like(first)
        return func(first, other)

    return truth_values


def _is_like(first: torch.Tensor, other: Any) -> bool:
    if isinstance(other, torch.Tensor):
        return other.shape == first.shape and other.dtype == first.dtype and is_plain(other)
    return isinstance(other, int | float | str)


def _pack_padded_sequence(
    make: Make, inputs: AbstractTensor, lengths: torch.Tensor, batch_first: bool
) -> tuple[AbstractTensor, torch.Tensor]:
    """How many steps there are in all depends on the lengths, which are real."""
    blank = torch.empty(()).expand(*inputs.shape[:2], 1)
    steps, batch_sizes = aten._pack_padded_sequence.default(blank, lengths, batch_first)
    shape = (steps.shape[0], *inputs.shape[2:])
    strides = torch.empty(shape, device="meta").stride()
    return make(describe(shape, strides, inputs.dtype, inputs.device)), batch_sizes


def _scattered(func: Any) -> Callable[..., AbstractTensor]:
    """What is scattered into is copied with its whole storage, which may be larger than it reaches."""

    def into_copy(make: Make, first: torch.Tensor, *args: Any, **kwargs: Any) -> AbstractTensor:
        out = func(*(_on_meta(each) for each in (first, *args)), **kwargs)
        description = describe(tuple(out.shape), out.stride(), out.dtype, first.device)
        if overlaps(first):
            return make(description)
        whole = first.held.nbytes if isinstance(first, AbstractTensor) else first.untyped_storage().nbytes()
        return make(description, whole)

    return into_copy


def _on_meta(value: Any) -> Any:
    if not isinstance(value, torch.Tensor):
        return value
    return torch.empty_strided(value.shape, value.stride(), dtype=value.dtype, device="meta")


def _as_strided(
    _: Make, tensor: torch.Tensor, size: list[int], stride: list[int], storage_offset: int | None = None
) -> torch.Tensor:
    """The storage may be larger than the tensor reaches; how large, the meta device cannot know."""
    if not isinstance(tensor, AbstractTensor):  # a real one that abstract values were written into
        return tensor.as_strided(size, stride, storage_offset)
    seen = describe(tuple(size), tuple(stride), tensor.dtype, tensor.device)
    offset = tensor.storage_offset() if storage_offset is None else storage_offset
    needed = seen.nbytes + offset * tensor.dtype.itemsize
    if seen.nbytes and needed > tensor.held.nbytes:
        raise RuntimeError(
            f"setStorage: sizes {size}, strides {stride}, storage offset {offset}, and itemsize "
            f"{tensor.dtype.itemsize} requiring a storage size of {needed} are out of bounds for storage of size "
            f"{tensor.held.nbytes}"
        )
    return view(seen, tensor, offset=offset)


def _as_strided_in_place(make: Make, tensor: torch.Tensor, *args: Any, **kwargs: Any) -> torch.Tensor:
    tensor.data = _as_strided(make, tensor, *args, **kwargs)
    return tensor


ELEMENTWISE = (
    *(aten.relu.default, aten.gelu.default, aten.silu.default, aten.sigmoid.default, aten.tanh.default),
    *(aten.hardswish.default, aten.hardsigmoid.default, aten.hardtanh.default, aten.leaky_relu.default),
    *(aten.add.Tensor, aten.sub.Tensor, aten.mul.Tensor, aten.div.Tensor, aten.pow.Tensor_Scalar),
    *(aten.exp.default, aten.sqrt.default, aten.rsqrt.default, aten.neg.default, aten.sin.default, aten.cos.default),
)
IN_PLACE = (
    *(aten.relu_.default, aten.silu_.default, aten.sigmoid_.default, aten.hardswish_.default),
    *(aten.hardsigmoid_.default, aten.hardtanh_.default, aten.leaky_relu_.default, aten.gelu_.default),
    *(aten.add_.Tensor, aten.sub_.Tensor, aten.mul_.Tensor, aten.div_.Tensor),
    *(aten.zero_.default, aten.fill_.Scalar, aten.erfinv_.default),
    *(aten.uniform_.default, aten.normal_.default, aten.bernoulli_.float),  # what initialises weights
)
COMPARISONS = (*(aten.lt.Scalar, aten.le.Scalar, aten.gt.Scalar, aten.ge.Scalar, aten.eq.Scalar, aten.ne.Scalar),)

# Called with tensors of the meta device in place of all tensors.
RULES: dict[Any, Callable[..., Any]] = {
    **KERNELS,
    aten._grouped_mm.default: _grouped_product,
    aten.native_batch_norm.default: _batch_norm,
    aten.native_layer_norm.default: _layer_norm,
    aten.addmm.default: _added_product,
    aten.mm.default: _product,
    aten.slice.Tensor: _slice,
    aten.roll.default: _roll,
    aten.index.Tensor: _index,
    aten.clone.default: _clone,
    **{func: _comparison(func) for func in COMPARISONS},
    **dict.fromkeys((aten.any.default, aten.all.default), _truth_value),
    **{func: _logic(func) for func in (aten.bitwise_or.Tensor, aten.bitwise_and.Tensor)},
    **{func: _elementwise(func) for func in ELEMENTWISE},
    **{func: _in_place(func) for func in IN_PLACE},
}
# Called with the tensors as they are, abstract ones and real ones.
BY_HAND: dict[Any, Callable[..., Any]] = {
    aten._pack_padded_sequence.default: _pack_padded_sequence,
    **{
        func: _scattered(func)
        for func in (
            *(aten.as_strided_scatter.default, aten.diagonal_scatter.default),
            *(aten.select_scatter.default, aten.slice_scatter.default),
        )
    },
    aten.as_strided.default: _as_strided,
    aten.as_strided_.default: _as_strided_in_place,
}
