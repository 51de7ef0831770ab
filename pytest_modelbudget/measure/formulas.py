"""The multiply-accumulates of one call of an operation.

An operation is one of three: it has a formula (PyTorch's own registry, this file, or `register_formula`), it
costs no MACs by convention (elementwise work, reductions, copies, views), or it is unknown. Unknown operations are
reported, never taken for free.

Conventions: dense counting (padding, masks and causality are not subtracted), biases cost nothing, and a complex
multiply-accumulate counts as one.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import torch
from torch.utils.flop_counter import flop_registry

aten = torch.ops.aten

Formula = Callable[..., int]


def _matrix_vector(matrix: torch.Tensor, vector: torch.Tensor, *, out: torch.Tensor) -> int:
    rows, columns = matrix.shape
    return int(rows * columns)


def _added_matrix_vector(
    bias: torch.Tensor, matrix: torch.Tensor, vector: torch.Tensor, *, out: torch.Tensor, **_: object
) -> int:
    return _matrix_vector(matrix, vector, out=out)


def _dot(left: torch.Tensor, right: torch.Tensor, *, out: torch.Tensor) -> int:
    return int(left.shape[0])


def _added_batched(
    bias: torch.Tensor, left: torch.Tensor, right: torch.Tensor, *, out: torch.Tensor, **_: object
) -> int:
    batch, rows, inner = left.shape
    return int(batch * rows * inner * right.shape[2])


def _attention(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, *_: object, out: object, **__: object
) -> int:
    """``B·H·Lq·Lk·(D + Dv)``: the products query·key and weights·value, of every query head."""
    batch, heads, queries, depth = query.shape
    return int(batch * heads * queries * key.shape[-2] * (depth + value.shape[-1]))


def _recurrent_layer(
    inputs: torch.Tensor, weight_input: torch.Tensor, weight_hidden: torch.Tensor, *_: object, out: object, **__: object
) -> int:
    """One layer and direction: every step multiplies the input and the hidden state by all gates' weights."""
    steps, batch, _features = inputs.shape
    return int(steps * batch * (weight_input.numel() + weight_hidden.numel()))


_OURS: dict[Any, Formula] = {
    aten.mv: _matrix_vector,
    aten.addmv: _added_matrix_vector,
    aten.addmv_: _added_matrix_vector,
    aten.dot: _dot,
    aten.vdot: _dot,
    aten.addbmm: _added_batched,
    aten.addbmm_: _added_batched,
    aten._scaled_dot_product_flash_attention_for_cpu: _attention,
    aten._scaled_dot_product_fused_attention_overrideable: _attention,
    aten.mkldnn_rnn_layer: _recurrent_layer,
}
# In-place forms that PyTorch's registry leaves out; the arguments stand as in the form that it has.
_IN_PLACE = {aten.addmm_: aten.addmm, aten.baddbmm_: aten.baddbmm}

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
    if not isinstance(op, torch._ops.OpOverload | torch._ops.OpOverloadPacket):
        raise TypeError(
            f"register_formula: {op!r} is not an operation; give torch.ops.<library>.<name> or an overload of it"
        )
    if not callable(formula):
        raise TypeError(f"register_formula: the formula of {op} is a {type(formula).__name__}, not a callable")
    _registered[op] = formula


def formula_of(func: Any) -> Formula | None:
    """The formula of an overload, as a callable ``(*args, out, **kwargs) -> MACs``, or None."""
    packet = func.overloadpacket
    for table in (_registered, _OURS):
        found = table.get(func) or table.get(packet)
        if found is not None:
            return found
    flops = flop_registry.get(packet) or flop_registry.get(_IN_PLACE.get(packet))
    return _halved(flops) if flops is not None else None


def _halved(flops: Callable[..., int]) -> Formula:
    """A formula of PyTorch's registry, which counts two FLOPs a multiply-accumulate."""

    def macs(*args: Any, out: Any, **kwargs: Any) -> int:
        return flops(*args, **kwargs, out_val=out) // 2

    return macs


# ATen operations that multiply and accumulate, and are not counted yet.
_ARITHMETIC = re.compile(
    r"_?(linalg_(?!check_errors).*|fft_.*|cdist.*|euclidean_dist|trilinear|bilinear|addr|conv_tbc|int_mm|grouped_mm|scaled_.*mm.*"
    r"|weight_int4pack_mm.*|weight_int8pack_mm|mixed_dtypes_linear|dyn_quant_matmul.*|cslt_.*|sparse_.*mm.*|addmm_activation"
    r"|sspaddmm|smm|hspmm|sampled_addmm|wrapped_.*linear.*|fused_sdp_choice_.*|native_multi_head_attention"
    r"|transformer_encoder_layer_fwd|triton_.*attention|triton_multi_head_attention|flash_attention.*"
    r"|efficient_attention.*|scaled_dot_product_.*|cudnn_rnn|miopen_rnn|lstm_mps|thnn_conv.*|conv_depthwise.*"
    r"|conv_.*_forward|slow_conv.*|mkldnn_convolution.*|mkldnn_linear.*|mkldnn_rnn.*|miopen_(?!batch|ctc).*"
    r"|cudnn_conv.*|quantized_(lstm|gru|rnn).*|fbgemm_.*linear.*|cholesky.*|lu_.*|geqrf|orgqr|ormqr"
    r"|triangular_solve|pdist.*|segment_matmul|matrix_exp|histogramdd.*|baddbmm.*|bmm.*|mm.*|addmm.*|matmul.*"
    r"|linear.*|convolution.*|householder_product)"
)


def is_free(func: Any) -> bool:
    """Whether an overload without a formula costs no MACs by convention."""
    if func.namespace in ("aten", "prim", "prims"):
        return _ARITHMETIC.fullmatch(func.overloadpacket.__name__.rstrip("_")) is None
    return False
