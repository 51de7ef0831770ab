"""The multiply-accumulates of one call of an operation.

An operation is one of three: it has a formula (PyTorch's own registry, this file, or `register_formula`), it is free by
convention (`pytest_modelbudget.engine.free`), or it is unknown. Unknown operations are reported, never taken for free.

Conventions: counting is dense (padding, masks, causality and zeros of sparse operands are not subtracted), biases cost
nothing, and a complex multiply-accumulate counts as one.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch.utils.flop_counter import flop_registry

from pytest_modelbudget.engine.packed import unpacked

Tensor = torch.Tensor
Formula = Callable[..., int]

_registered: dict[Any, Formula] = {}


def register_formula(op: Any, formula: Formula) -> None:
    """Count an operation of your own.

    Args:
        op: an operation (``torch.ops.mylib.fused_mlp``) or one overload of it
            (``torch.ops.mylib.fused_mlp.default``).
        formula: called as ``formula(*args, out, **kwargs)`` with the operation's arguments, ``out`` as a keyword;
            gives the MACs of that call as an integer. It may read the tensors' shapes, not their elements.

    Raises:
        TypeError: ``op`` is no operation, or ``formula`` cannot be called.
    """
    if not isinstance(op, torch._ops.OpOverload | torch._ops.OpOverloadPacket | torch._ops.HigherOrderOperator):
        raise TypeError(
            f"register_formula: {op!r} is not an operation; give torch.ops.<library>.<name> or an overload of it"
        )
    if not callable(formula):
        raise TypeError(f"register_formula: the formula of {op} is a {type(formula).__name__}, not a callable")
    _registered[op] = formula


def formula_of(func: Any) -> Formula | None:
    """The formula of an overload, as a callable ``(*args, out, **kwargs) -> MACs``, or None."""
    packet = packet_of(func)
    for key in (func, packet):
        found = _registered.get(key)
        if found is not None:
            return found
    flops = flop_registry.get(packet) or flop_registry.get(_in_other_place(packet))
    if flops is None:
        return _OURS.get(str(packet))
    # PyTorch's own formulas of the two commonest operations look through every argument for shapes.
    return _AS_PYTORCH.get(flops) or _halved(flops)


def packet_of(func: Any) -> Any:
    """The operation that an overload is of; an operation of higher order has none and is its own."""
    return getattr(func, "overloadpacket", func)


def _in_other_place(packet: Any) -> Any:
    """The form that makes a new tensor of an operation that works in place; PyTorch's registry has only that."""
    name = getattr(packet, "__name__", "")
    return getattr(torch.ops.aten, name[:-1], None) if name.endswith("_") else None


def _halved(flops: Callable[..., int]) -> Formula:
    """A formula of PyTorch's registry, which counts two FLOPs a multiply-accumulate."""

    def macs(*args: Any, out: Any, **kwargs: Any) -> int:
        return flops(*args, **kwargs, out_val=out) // 2

    return macs


# -- products ------------------------------------------------------------------------------------------------------


def _result_by(position: int) -> Formula:
    """Each element of the result sums products along the last dimension of one argument."""

    def macs(*args: Any, out: Tensor, **_: object) -> int:
        return out.numel() * int(args[position].shape[-1])

    return macs


def _matrix_vector(matrix: Tensor, vector: Tensor, *, out: Tensor) -> int:
    return matrix.numel()


def _added_matrix_vector(bias: Tensor, matrix: Tensor, vector: Tensor, *, out: Tensor, **_: object) -> int:
    return matrix.numel()


def _dot(left: Tensor, right: Tensor, *, out: Tensor) -> int:
    return left.numel()


def _outer(bias: Tensor, left: Tensor, right: Tensor, *, out: Tensor, **_: object) -> int:
    return left.numel() * right.numel()


def _product(left: Tensor, right: Tensor, *_: object, out: object, **__: object) -> int:
    """``M·K·N`` of ``M×K`` and ``K×N``."""
    return left.numel() * int(right.shape[-1])


def _added_product(bias: Tensor, left: Tensor, right: Tensor, *_: object, out: object, **__: object) -> int:
    return left.numel() * int(right.shape[-1])


def _products(lefts: list[Tensor], rights: list[Tensor], *, out: object, **_: object) -> int:
    return sum(left.numel() * int(right.shape[-1]) for left, right in zip(lefts, rights, strict=True))


def _grouped_product(left: Tensor, right: Tensor, *_: object, out: Tensor, **__: object) -> int:
    """Groups of rows, of columns or of both; where the groups share the inner dimension it is counted once."""
    if left.dim() == right.dim() == 2:
        return left.numel() * int(right.shape[1])
    return out.numel() * int(left.shape[-1])


def _packed_rows(inputs: Tensor, _packed: object, _block: int, _width: int, width: int, *, out: object) -> int:
    return inputs.numel() * width


def _semi_structured(left: Tensor, meta: Tensor, right: Tensor, *_: object, out: Tensor, **__: object) -> int:
    return out.numel() * int(right.shape[0])


def _added_semi_structured(bias: Tensor, left: Tensor, meta: Tensor, right: Tensor, *, out: Tensor, **_: object) -> int:
    return out.numel() * int(right.shape[0])


def _compressed(left: Tensor, right: Tensor, *_: object, out: Tensor, **__: object) -> int:
    return out.numel() * int(right.shape[0])


def _linear_combination(terms: Tensor, coefficients: Tensor, *, out: Tensor) -> int:
    return coefficients.numel() * (terms.numel() // int(terms.shape[0]))


def _bilinear(
    left: Tensor,
    weight: Tensor,
    right: Tensor,
    expand_left: list[int],
    expand_weight: list[int],
    expand_right: list[int],
    sum_over: list[int],
    *_: object,
    out: object,
) -> int:
    """``x₁·W``, then ``·x₂``: the product over all dimensions, and what is left of it after the first sum."""
    sizes: list[int] = []
    parts = ((left, expand_left), (weight, expand_weight), (right, expand_right))
    for tensor, expanded in parts:
        shape = list(tensor.shape)
        for dimension in sorted(expanded):
            shape.insert(dimension, 1)
        sizes = [max(pair) for pair in zip(sizes or shape, shape, strict=True)]
    first = math.prod(sizes)
    return first + (first // sizes[sum_over[0]] if len(sum_over) > 1 else 0)


def _linear_loss(inputs: Tensor, weight: Tensor, *others: Any, out: object) -> int:
    """The logits, and those products of the backward pass that are made in the same pass over the chunks."""
    _retain, wants_inputs, wants_weight, _wants_bias = others[-4:]
    return inputs.numel() * int(weight.shape[0]) * (1 + bool(wants_inputs) + bool(wants_weight))


def _linear_losses(inputs: Tensor, weight: Tensor, *_: object, out: object) -> int:
    return inputs.numel() * int(weight.shape[0])


# -- convolutions --------------------------------------------------------------------------------------------------


def _convolution(inputs: Tensor, weight: Tensor, *_: object, out: Tensor, **__: object) -> int:
    """Each element of the result sums over the kernel and the input channels of its group."""
    return out.numel() * math.prod(weight.shape[1:])


def _transposed_convolution(inputs: Tensor, weight: Tensor, *_: object, out: object, **__: object) -> int:
    """Each element of the input meets the kernel and the output channels of its group."""
    return inputs.numel() * math.prod(weight.shape[1:])


def _any_convolution(
    inputs: Tensor,
    weight: Tensor,
    bias: object,
    stride: object,
    padding: object,
    dilation: object,
    transposed: bool,
    *_: object,
    out: Tensor,
) -> int:
    return (inputs if transposed else out).numel() * math.prod(weight.shape[1:])


def _convolution_over_time(inputs: Tensor, weight: Tensor, *_: object, out: Tensor) -> int:
    width, channels, _features = weight.shape
    return out.numel() * int(width * channels)


# -- attention and recurrence --------------------------------------------------------------------------------------


def _attention(query: Tensor, key: Tensor, value: Tensor, *_: object, out: object, **__: object) -> int:
    """``B·H·Lq·Lk·(D + Dv)``: the products query·key and weights·value, of every query head."""
    rows = query.numel() // int(query.shape[-1])
    return rows * int(key.shape[-2]) * int(query.shape[-1] + value.shape[-1])


def _recurrent_layer(
    inputs: Tensor, weight_input: Tensor, weight_hidden: Tensor, *_: object, out: object, **__: object
) -> int:
    """One layer and direction: every step multiplies the input and the hidden state by all gates' weights."""
    return _steps(inputs) * (weight_input.numel() + weight_hidden.numel())


def _recurrent_layers(inputs: Tensor, weights: list[Tensor], *_: object, out: object, **__: object) -> int:
    """All layers at once: each weight matrix, of projections too, is multiplied once a step."""
    return _steps(inputs) * sum(weight.numel() for weight in weights if weight.dim() == 2)


def _recurrent_layers_after_state(
    inputs: Tensor, _state: list[Tensor], weights: list[Tensor], *_: object, out: object, **__: object
) -> int:
    return _recurrent_layers(inputs, weights, out=out)


def _steps(inputs: Tensor) -> int:
    """Steps of all sequences of a batch, packed or not."""
    return inputs.numel() // int(inputs.shape[-1])


# -- quantized modules: the weights are in an object that holds them packed ---------------------------------------


def _packed_convolution(inputs: Tensor, packed: Any, *_: object, out: Tensor, **__: object) -> int:
    return out.numel() * _kernel(packed)


def _packed_transposed_convolution(inputs: Tensor, packed: Any, *_: object, out: Tensor, **__: object) -> int:
    return inputs.numel() * _kernel(packed)


def _packed_recurrent_layers(
    inputs: Tensor, _state: list[Tensor], cells: list[Any], *_: object, out: object, **__: object
) -> int:
    return _steps(inputs) * sum(weight.numel() for cell in cells for weight, _bias in unpacked(cell))


def _kernel(packed: Any) -> int:
    return next(math.prod(weight.shape[1:]) for weight, _bias in unpacked(packed))


_OURS: dict[str, Formula] = {
    **dict.fromkeys(("aten.mv", "aten.mv_"), _matrix_vector),
    **dict.fromkeys(("aten.addmv", "aten.addmv_"), _added_matrix_vector),
    **dict.fromkeys(("aten.dot", "aten.vdot"), _dot),
    **dict.fromkeys(("aten.addr", "aten.addr_"), _outer),
    **dict.fromkeys(
        (
            "aten._int_mm",
            "aten.hspmm",
            "aten._sparse_sparse_matmul",
            "aten._scaled_mm_v2",
            "aten._sparse_mm_reduce_impl",
        ),
        _product,
    ),
    **dict.fromkeys(
        (
            *("aten.addbmm", "aten.addbmm_", "aten._addmm_activation", "aten._sparse_addmm"),
            *("aten.sparse_sampled_addmm", "aten.sspaddmm"),
        ),
        _added_product,
    ),
    "aten._foreach_mm": _products,
    **dict.fromkeys(
        ("aten._grouped_mm", "aten._scaled_grouped_mm", "aten._scaled_grouped_mm_v2"),
        _grouped_product,
    ),
    **dict.fromkeys(
        (
            *(
                "aten.linear",
                "aten.mkldnn_linear",
                "aten._cdist_forward",
                "aten._euclidean_dist",
                "aten._pdist_forward",
            ),
            *("aten._weight_int4pack_mm", "aten._weight_int4pack_mm_for_cpu", "aten._weight_int8pack_mm"),
            *("aten._weight_int4pack_mm_with_scales_and_zeros", "aten._mixed_dtypes_linear"),
            *("aten._sparse_semi_structured_linear", "aten.affine_grid_generator"),
        ),
        _result_by(0),
    ),
    "aten._dyn_quant_matmul_4bit": _packed_rows,
    "aten._sparse_semi_structured_mm": _semi_structured,
    "aten._sparse_semi_structured_addmm": _added_semi_structured,
    "aten._cslt_sparse_mm": _compressed,
    "aten._compute_linear_combination": _linear_combination,
    "aten._trilinear": _bilinear,
    "torch_nn._linear_cross_entropy_batch_chunked": _linear_loss,
    "torch_nn._linear_cross_entropy_batch_chunked_no_reduction": _linear_losses,
    **dict.fromkeys(
        (
            *(
                "aten.mkldnn_convolution",
                "aten.cudnn_convolution",
                "aten.cudnn_convolution_relu",
                "aten.cudnn_convolution_add_relu",
            ),
            *("aten.miopen_convolution", "aten.miopen_convolution_relu", "aten.miopen_convolution_add_relu"),
            *("aten.miopen_depthwise_convolution", "aten._mps_convolution", "aten._nnpack_spatial_convolution"),
            *(
                "aten._conv_depthwise2d",
                "aten.conv_depthwise3d",
                "aten.slow_conv3d_forward",
                "aten._slow_conv2d_forward",
            ),
            *("aten.slow_conv_dilated2d", "aten.slow_conv_dilated3d", "torchvision.deform_conv2d"),
        ),
        _convolution,
    ),
    **dict.fromkeys(
        (
            *("aten.slow_conv_transpose2d", "aten.slow_conv_transpose3d", "aten.cudnn_convolution_transpose"),
            *("aten.miopen_convolution_transpose", "aten._mps_convolution_transpose"),
        ),
        _transposed_convolution,
    ),
    "aten.conv_tbc": _convolution_over_time,
    **dict.fromkeys(
        (
            *("aten._scaled_dot_product_flash_attention_for_cpu", "aten._cudnn_attention_forward"),
            "aten._scaled_dot_product_fused_attention_overrideable",
            *("aten._scaled_dot_product_attention_math_for_mps", "flex_attention"),
        ),
        _attention,
    ),
    "aten.mkldnn_rnn_layer": _recurrent_layer,
    **dict.fromkeys(("aten._cudnn_rnn", "aten.miopen_rnn"), _recurrent_layers),
    "aten._lstm_mps": _recurrent_layers_after_state,
    **dict.fromkeys(
        (
            *("quantized.linear", "quantized.linear_relu", "quantized.linear_leaky_relu", "quantized.linear_tanh"),
            *("quantized.linear_dynamic", "quantized.linear_relu_dynamic", "quantized.linear_dynamic_fp16"),
            *("quantized.linear_relu_dynamic_fp16", "quantized.linear_with_input_q_dq_qweight_dq_output_fp32"),
        ),
        _result_by(0),
    ),
    **dict.fromkeys(("aten.quantized_lstm", "aten.quantized_gru"), _packed_recurrent_layers),
    **{
        f"quantized.conv{dimensions}d{form}": _packed_convolution
        for dimensions in (1, 2, 3)
        for form in ("", "_relu", "_add", "_add_relu", "_dynamic")
    },
    **{
        f"quantized.conv_transpose{dimensions}d{form}": _packed_transposed_convolution
        for dimensions in (1, 2, 3)
        for form in ("", "_dynamic")
    },
}

_AS_PYTORCH: dict[Any, Formula] = {
    flop_registry[torch.ops.aten.convolution]: _any_convolution,
    flop_registry[torch.ops.aten.addmm]: _added_product,
}
