"""What PyTorch's kernels for the CPU give where its meta device answers otherwise.

The meta device says of many results that they are contiguous, where the kernels keep the memory format of their
arguments; or that statistics are in single precision, where the kernels take them as the weights are; or that a storage
is as large as the result, where the kernels work in it and leave it larger. The rules here say what the kernels do.
Where these differ between machines, they say what a machine with oneDNN and several threads does.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch

from pytest_modelbudget.engine.convolutions import convolution
from pytest_modelbudget.engine.dtypes import HALVES, require_one_dtype
from pytest_modelbudget.engine.layouts import by_columns, format_of, in_format, iterated, like, over, overlaps

aten = torch.ops.aten
Rule = Callable[..., Any]
Sizes = list[int]


def _of_one_dtype(count: int) -> Callable[[Any], Rule]:
    """Of rules for operations whose first ``count`` arguments have to have one dtype."""

    def make(func: Any) -> Rule:
        def checked(*args: Any, **kwargs: Any) -> Any:
            require_one_dtype(*args[:count])
            return func(*args, **kwargs)

        return checked

    return make


# -- norms ---------------------------------------------------------------------------------------------------------


def _statistics(inputs: torch.Tensor, *weights: torch.Tensor | None) -> torch.dtype:
    """The dtype of a norm's statistics: that of its weights, where it has some.

    Raises:
        RuntimeError: the weights are of several dtypes, or of one that does not go with that of the inputs.
    """
    require_one_dtype(*weights)
    dtype = next((each.dtype for each in weights if each is not None), inputs.dtype)
    if dtype != inputs.dtype and not (inputs.dtype in HALVES and dtype is torch.float32):
        raise RuntimeError(f"expected weights of the dtype of the inputs, {inputs.dtype}, not of {dtype}")
    return dtype


def _format_of_normed(inputs: torch.Tensor) -> torch.memory_format:
    """Batch norm decides by what lies without a gap first, where dimensions of size 1 leave it open."""
    if inputs.is_contiguous():
        return torch.contiguous_format
    for memory_format, dims in ((torch.channels_last, 4), (torch.channels_last_3d, 5)):
        if inputs.dim() == dims and inputs.is_contiguous(memory_format=memory_format):
            return memory_format
    return format_of(inputs)


def native_batch_norm(
    inputs: torch.Tensor, weight: Any, bias: Any, mean: Any, var: Any, training: bool, *args: float
) -> tuple[torch.Tensor, ...]:
    """Outside training nothing is saved."""
    out, *_ = aten.native_batch_norm.default(inputs, weight, bias, mean, var, training, *args)
    saved = inputs.new_empty(inputs.shape[1] if training else 0, dtype=_statistics(inputs, weight, bias, mean, var))
    return in_format(out, _format_of_normed(inputs)), saved, torch.empty_like(saved)


def _saving_as_batch_norm(func: Any, is_training: Callable[..., bool]) -> Rule:
    """The other forms of batch norm."""

    def normed(inputs: torch.Tensor, weight: Any, bias: Any, *args: Any, **kwargs: Any) -> tuple[torch.Tensor, ...]:
        out, mean, _, *others = func(inputs, weight, bias, *args, **kwargs)
        given = [each for each in args if isinstance(each, torch.Tensor)]
        dtype = _statistics(inputs, weight, bias, *given)
        saved = mean.new_empty(mean.shape if is_training(*args) else 0, dtype=dtype)
        return (in_format(out, _format_of_normed(inputs)), saved, torch.empty_like(saved), *others)

    return normed


def _always(*_: object) -> bool:
    return True


def _never(*_: object) -> bool:
    return False


def _with_statistics(_mean: object, _var: object, training: bool, *_: object) -> bool:
    return training


def native_layer_norm(
    inputs: torch.Tensor, normalized: Sizes, weight: Any, bias: Any, epsilon: float
) -> tuple[torch.Tensor, ...]:
    """Its statistics are as the weights are."""
    out, mean, _ = aten.native_layer_norm.default(inputs, normalized, weight, bias, epsilon)
    saved = torch.empty_like(mean, dtype=_statistics(inputs, weight, bias))
    return in_format(out, torch.contiguous_format), saved, torch.empty_like(saved)


def _group_norm(inputs: torch.Tensor, weight: Any, bias: Any, *args: Any) -> tuple[torch.Tensor, ...]:
    out, mean, _ = aten.native_group_norm.default(inputs, weight, bias, *args)
    saved = torch.empty_like(mean, dtype=_statistics(inputs, weight, bias))
    return in_format(out, format_of(inputs)), saved, torch.empty_like(saved)


# -- what keeps the memory format ----------------------------------------------------------------------------------


def _in_format_of_first(func: Any) -> Rule:
    """The results are in the memory format of the first argument."""

    def formatted(first: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
        out = func(first, *args, **kwargs)
        memory_format = format_of(first)
        if isinstance(out, torch.Tensor):
            return in_format(out, memory_format)
        return tuple(in_format(each, memory_format) for each in out)

    return formatted


def _contiguous(func: Any) -> Rule:
    """The result is contiguous, whatever the arguments are."""

    def new(*args: Any, **kwargs: Any) -> torch.Tensor:
        out: torch.Tensor = func(*args, **kwargs)
        return in_format(out, torch.contiguous_format)

    return new


def _iterated(func: Any) -> Rule:
    """The result is as PyTorch's iterator over elements lays it out."""

    def laid_out(*args: Any, **kwargs: Any) -> torch.Tensor:
        return iterated(func(*args, **kwargs), *(arg for arg in args if isinstance(arg, torch.Tensor)))

    return laid_out


def _times_power_of_two(first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
    """The powers are contiguous, before they are multiplied."""
    out: torch.Tensor = aten.ldexp.Tensor(first, second)
    return iterated(out, first, in_format(second, torch.contiguous_format))


def _like_first(func: Any) -> Rule:
    """The results of the shape of the first argument have its strides, those of dimensions of size 1 included."""

    def laid_out(first: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
        out = func(first, *args, **kwargs)
        if kwargs.get("memory_format") not in (None, torch.preserve_format):
            return out
        return like(out, first) if isinstance(out, torch.Tensor) else tuple(like(each, first) for each in out)

    return laid_out


def _max_pool_3d(inputs: torch.Tensor, *args: Any, **kwargs: Any) -> tuple[torch.Tensor, ...]:
    """Without a batch it looks at channels last as if there were one."""
    outs: tuple[torch.Tensor, ...] = aten.max_pool3d_with_indices.default(inputs, *args, **kwargs)
    if inputs.dim() == 5:
        return outs
    if not inputs.is_contiguous() and inputs.unsqueeze(0).is_contiguous(memory_format=torch.channels_last_3d):
        return tuple(in_format(out.unsqueeze(0), torch.channels_last_3d).squeeze(0) for out in outs)
    if format_of(inputs) is torch.channels_last:
        raise RuntimeError("max_pool3d: channels last is not known of an input without a batch")
    return outs


def _viewed(tensor: torch.Tensor, size: Sizes) -> torch.Tensor:
    return aten.view_copy.default(in_format(tensor, torch.contiguous_format), size)  # type: ignore[no-any-return]


def _overwritten(func: Any) -> Rule:
    """Random numbers are not written to where several elements are one."""

    def the_first(first: torch.Tensor, *args: Any, **kwargs: Any) -> torch.Tensor:
        if overlaps(first):
            raise RuntimeError(f"{func}: more than one element of the tensor refers to a single memory location")
        return func(first, *args, **kwargs)  # type: ignore[no-any-return]

    return the_first


# -- storages that are larger than the result ----------------------------------------------------------------------


def _loss(func: Any) -> Rule:
    """The losses of all elements are written first, into the storage of what becomes their mean or sum."""

    def loss(inputs: torch.Tensor, target: torch.Tensor, *args: Any, **kwargs: Any) -> torch.Tensor:
        out: torch.Tensor = func(inputs, target, *args, **kwargs)
        return over(out, math.prod(torch.broadcast_shapes(inputs.shape, target.shape)))

    return loss


def _log_sigmoid(tensor: torch.Tensor) -> tuple[torch.Tensor, ...]:
    return tuple(in_format(each, torch.contiguous_format) for each in aten.log_sigmoid_forward.default(tensor))


def _negative_likelihood(*args: Any, **kwargs: Any) -> tuple[torch.Tensor, ...]:
    return tuple(in_format(each, torch.contiguous_format) for each in aten.nll_loss2d_forward.default(*args, **kwargs))


def _as_large_as_first(func: Any) -> Rule:
    def out_over(first: torch.Tensor, *args: Any, **kwargs: Any) -> torch.Tensor:
        out: torch.Tensor = func(first, *args, **kwargs)
        return over(in_format(out, torch.contiguous_format), first.numel())

    return out_over


# -- lookups -------------------------------------------------------------------------------------------------------

_SUM, _MEAN, _MAX = range(3)
_ADDED_FAST = (torch.float32, torch.float16, torch.bfloat16)


def _embedding_bag(func: Any, *, for_backward: bool) -> Rule:
    """Which bag each index is in, how many are in each and which were the largest: as far as the kernel needs it."""

    def looked_up(
        weight: torch.Tensor,
        indices: torch.Tensor,
        offsets: torch.Tensor,
        scale_grad_by_freq: bool = False,
        mode: int = _SUM,
        sparse: bool = False,
        per_sample_weights: torch.Tensor | None = None,
        include_last_offset: bool = False,
        padding_idx: int = -1,
    ) -> tuple[torch.Tensor, ...]:
        others = (scale_grad_by_freq, mode, sparse, per_sample_weights, include_last_offset, padding_idx)
        out = func(weight, indices, offsets, *others)[0]
        dtype = torch.promote_types(indices.dtype, offsets.dtype)
        is_fast = weight.dtype in _ADDED_FAST and weight.stride(1) == 1 and padding_idx < 0
        if per_sample_weights is not None and per_sample_weights.stride(0) != 1:
            is_fast = False
        bags = offsets.new_empty(offsets.numel(), dtype=dtype)
        if for_backward or mode != _SUM:
            bags = bags[: out.shape[0]]
        if mode == _SUM and is_fast:
            bag_of_each = indices.new_empty(0, dtype=dtype)
        else:
            bag_of_each = indices.new_empty(indices.numel() + 1, dtype=dtype)[:-1]
        largest = bags.new_empty(out.shape if mode == _MAX else bags.shape)
        return out, bag_of_each, bags, largest

    return looked_up


# -- Fourier transforms, as MKL has them ---------------------------------------------------------------------------


def _to_half(tensor: torch.Tensor, dims: Sizes, normalization: int, onesided: bool) -> torch.Tensor:
    out = aten._fft_r2c.default(tensor, dims, normalization, onesided)
    return _transformed(tensor, out, [*_by_stride(tensor, dims[:-1]), *dims[-1:]])


def _to_complex(tensor: torch.Tensor, dims: Sizes, normalization: int, forward: bool) -> torch.Tensor:
    out = aten._fft_c2c.default(tensor, dims, normalization, forward)
    return _transformed(tensor, out, _by_stride(tensor, dims)) if dims else torch.empty_like(tensor)


def _to_real(tensor: torch.Tensor, dims: Sizes, normalization: int, last: int) -> torch.Tensor:
    """Along all dimensions but the last a complex transform comes first."""
    out = aten._fft_c2r.default(tensor, dims, normalization, last)
    between = _to_complex(tensor, dims[:-1], normalization, False) if len(dims) > 1 else tensor
    return _transformed(between, out, dims[-1:])


def _by_stride(tensor: torch.Tensor, dims: Sizes) -> Sizes:
    return sorted(dims, key=tensor.stride, reverse=True)


def _transformed(tensor: torch.Tensor, out: torch.Tensor, dims: Sizes) -> torch.Tensor:
    """The dimensions that are transformed lie innermost, and the others around them in their order in memory."""
    inner = [dim % tensor.dim() for dim in dims]
    outer = _by_stride(tensor, [dim for dim in range(tensor.dim()) if dim not in inner])
    order = [*outer, *inner]
    laid_out = torch.empty([out.shape[dim] for dim in order], dtype=out.dtype, device=out.device)
    return laid_out.permute([order.index(dim) for dim in range(len(order))])


# -- others --------------------------------------------------------------------------------------------------------


def _singular_values(tensor: torch.Tensor, *args: Any, **kwargs: Any) -> tuple[torch.Tensor, ...]:
    left, values, right = aten._linalg_svd.default(tensor, *args, **kwargs)
    return left, values, by_columns(right) if right.dim() > 1 else right


def _eigenvectors(tensor: torch.Tensor) -> tuple[torch.Tensor, ...]:
    values, vectors = aten.linalg_eig.default(tensor)
    return values, by_columns(vectors)


def _unpacked(factors: torch.Tensor, pivots: torch.Tensor, *args: Any, **kwargs: Any) -> tuple[torch.Tensor, ...]:
    if pivots.shape[:-1] != factors.shape[:-2]:
        raise RuntimeError("lu_unpack: there are not as many pivots as matrices")
    return aten.lu_unpack.default(factors, pivots, *args, **kwargs)  # type: ignore[no-any-return]


# Called with tensors of the meta device in place of all tensors.
KERNELS: dict[Any, Rule] = {
    aten.convolution.default: convolution,
    aten._native_batch_norm_legit.default: _saving_as_batch_norm(
        aten._native_batch_norm_legit.default, _with_statistics
    ),
    aten._native_batch_norm_legit.no_stats: _saving_as_batch_norm(aten._native_batch_norm_legit.no_stats, _always),
    aten._native_batch_norm_legit_no_training.default: _saving_as_batch_norm(
        aten._native_batch_norm_legit_no_training.default, _never
    ),
    aten._batch_norm_with_update.default: _saving_as_batch_norm(aten._batch_norm_with_update.default, _always),
    aten.native_group_norm.default: _group_norm,
    **{
        func: _loss(func)
        for func in (
            *(aten.mse_loss.default, aten.smooth_l1_loss.default, aten.soft_margin_loss.default),
            aten.binary_cross_entropy.default,
        )
    },
    **{func: _as_large_as_first(func) for func in (aten.im2col.default, aten.col2im.default)},
    **{
        func: _in_format_of_first(func)
        for func in (
            *(aten.reflection_pad2d.default, aten.reflection_pad3d.default),
            *(aten.replication_pad2d.default, aten.replication_pad3d.default),
            *(aten.upsample_nearest2d.default, aten.upsample_nearest3d.default),
            *(aten._upsample_nearest_exact2d.default, aten._upsample_nearest_exact3d.default),
            *(aten.upsample_bilinear2d.default, aten.upsample_trilinear3d.default),
            *(aten.upsample_bicubic2d.default, aten._upsample_bilinear2d_aa.default),
            *(aten._upsample_bicubic2d_aa.default, aten.avg_pool2d.default),
            *(aten.pixel_shuffle.default, aten.pixel_unshuffle.default, aten.channel_shuffle.default),
            *(aten.native_channel_shuffle.default, aten.max_unpool2d.default),
        )
    },
    **{
        func: _contiguous(func)
        for func in (
            *(aten.normal.Tensor_Tensor, aten.normal.Tensor_float, aten.normal.float_Tensor),
            *(aten.pow.Scalar, aten.nonzero_static.default),
        )
    },
    **{
        func: _iterated(func)
        for func in (
            *(aten.copysign.Tensor, aten.div.Tensor_mode, aten.floor_divide.default, aten.heaviside.default),
            *(aten.logaddexp.default, aten.logaddexp2.default, aten.xlogy.Tensor, aten.special_xlog1py.default),
            *(aten.logical_and.default, aten.logical_or.default, aten.logical_xor.default),
            aten.native_dropout_backward.default,
        )
    },
    **{
        func: _overwritten(func)
        for func in (
            *(aten.cauchy_.default, aten.exponential_.default, aten.geometric_.default, aten.log_normal_.default),
            *(aten.uniform_.default, aten.normal_.default, aten.bernoulli_.float, aten.random_.default),
        )
    },
    **{
        func: _like_first(func)
        for func in (
            *(aten.empty_like.default, aten.zeros_like.default, aten.ones_like.default, aten.full_like.default),
            *(aten.rand_like.default, aten.randn_like.default, aten.flip.default, aten.sort.default),
            *(aten.sort.stable, aten.binary_cross_entropy_with_logits.default),
        )
    },
    aten._scaled_dot_product_flash_attention_for_cpu.default: _like_first(
        _of_one_dtype(3)(aten._scaled_dot_product_flash_attention_for_cpu.default)
    ),
    aten._prelu_kernel.default: _like_first(_of_one_dtype(2)(aten._prelu_kernel.default)),
    aten.mv.default: _of_one_dtype(2)(aten.mv.default),
    **{func: _of_one_dtype(3)(func) for func in (aten.addmv.default, aten.addbmm.default)},
    aten.log_sigmoid_forward.default: _log_sigmoid,
    aten.max_pool3d_with_indices.default: _max_pool_3d,
    aten.nll_loss2d_forward.default: _negative_likelihood,
    aten.ldexp.Tensor: _times_power_of_two,
    aten.view_copy.default: _viewed,
    aten.lu_unpack.default: _unpacked,
    aten._embedding_bag.default: _embedding_bag(aten._embedding_bag.default, for_backward=True),
    aten._embedding_bag_forward_only.default: _embedding_bag(
        aten._embedding_bag_forward_only.default, for_backward=False
    ),
    aten._fft_r2c.default: _to_half,
    aten._fft_c2c.default: _to_complex,
    aten._fft_c2r.default: _to_real,
    aten._linalg_svd.default: _singular_values,
    aten.linalg_eig.default: _eigenvectors,
}
