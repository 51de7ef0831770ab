"""Shapes of results that PyTorch's meta device gets wrong, refuses to give, or cannot know."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from pytest_modelbudget.measure.abstract import AbstractTensor, Description, describe

aten = torch.ops.aten
Make = Callable[[Description], AbstractTensor]


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


def _batch_norm(inputs: torch.Tensor, *args: Any) -> tuple[torch.Tensor, ...]:
    """Outside training the kernel for the CPU saves no statistics; the meta device says that it does."""
    out, *saved = aten.native_batch_norm.default(inputs, *args)
    training = args[4]
    return (out, *saved) if training else (out, *(each.new_empty(0) for each in saved))


def _pack_padded_sequence(
    make: Make, inputs: AbstractTensor, lengths: torch.Tensor, batch_first: bool
) -> tuple[AbstractTensor, torch.Tensor]:
    """How many steps there are in all depends on the lengths, which are real."""
    blank = torch.empty(()).expand(*inputs.shape[:2], 1)
    steps, batch_sizes = aten._pack_padded_sequence.default(blank, lengths, batch_first)
    shape = (steps.shape[0], *inputs.shape[2:])
    strides = torch.empty(shape, device="meta").stride()
    return make(describe(shape, strides, inputs.dtype, inputs.device)), batch_sizes


# Called with tensors of the meta device in place of all tensors.
RULES: dict[Any, Callable[..., Any]] = {
    aten._grouped_mm.default: _grouped_product,
    aten.native_batch_norm.default: _batch_norm,
}
# Called with the tensors as they are, abstract ones and real ones.
BY_HAND: dict[Any, Callable[..., Any]] = {
    aten._pack_padded_sequence.default: _pack_padded_sequence,
}
