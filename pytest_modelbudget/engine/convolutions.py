"""What PyTorch's kernels for the CPU make of a convolution: its shape, and how it lies in memory.

Channels last is kept where the input or the weight has it; in three dimensions by oneDNN alone, so that the rules have
to know when PyTorch takes it. They say what a machine with oneDNN and several threads does.
"""

from __future__ import annotations

import math

import torch

from pytest_modelbudget.engine.dtypes import HALVES, require_one_dtype
from pytest_modelbudget.engine.layouts import format_of, in_format, over

aten = torch.ops.aten
Sizes = list[int]

# For fewer elements oneDNN is not faster.
_FEW_ELEMENTS = 20_480


def convolution(
    inputs: torch.Tensor,
    weight: torch.Tensor,
    bias: torch.Tensor | None,
    stride: Sizes,
    padding: Sizes,
    dilation: Sizes,
    transposed: bool,
    output_padding: Sizes,
    groups: int,
) -> torch.Tensor:
    """The result, on the meta device; the arguments are those of ``aten.convolution``.

    Raises:
        RuntimeError: they do not fit together.
    """
    args = (inputs, weight, bias, stride, padding, dilation, transposed, output_padding, groups)
    shape = _convolved(*args)
    out = inputs.new_empty(shape) if shape else aten.convolution.default(*args)
    require_one_dtype(inputs, weight, bias)
    _check_channels(inputs, weight, bias, transposed, groups)
    if inputs.dim() == 3:
        # As if it had a height of 1.
        flat = _convolution_format(inputs.contiguous().unsqueeze(2), weight.unsqueeze(2))
        return in_format(out.unsqueeze(2), flat).squeeze(2)
    if inputs.dim() == 5 and not _is_for_onednn(inputs, weight, stride, transposed, output_padding, groups):
        # The result starts out as large as the input is; those of several groups are put together.
        return over(out, inputs.numel()) if transposed and groups == 1 else out
    memory_format = _convolution_format(inputs, weight)
    return out if memory_format is torch.contiguous_format else in_format(out, memory_format)


def _check_channels(
    inputs: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None, transposed: bool, groups: int
) -> None:
    """Refuse what the kernels refuse and the meta device takes; users are told in the kernels' own words."""
    channels, taken = weight.shape[0], weight.shape[1] * groups
    if transposed:
        channels, taken = taken, channels
    fits = taken == inputs.shape[1] and not weight.shape[0] % groups
    if not fits or (bias is not None and tuple(bias.shape) != (channels,)):
        raise RuntimeError(f"convolution: {tuple(inputs.shape)}, {tuple(weight.shape)} and the bias do not fit")


def _convolved(
    inputs: torch.Tensor,
    weight: torch.Tensor,
    bias: torch.Tensor | None,
    stride: Sizes,
    padding: Sizes,
    dilation: Sizes,
    transposed: bool,
    output_padding: Sizes,
    groups: int,
) -> Sizes | None:
    """The shape of a convolution; None of one that is unusual, or wrong."""
    count = inputs.dim() - 2
    if weight.dim() != count + 2 or count not in (1, 2, 3) or not all(inputs.shape) or not all(weight.shape):
        return None
    if any(len(sizes) != count for sizes in (stride, padding, dilation, output_padding)) or inputs.shape[1] % groups:
        return None
    if inputs.dtype != weight.dtype or (bias is not None and bias.dtype != weight.dtype) or inputs.dtype.is_complex:
        return None
    channels = weight.shape[1] * groups if transposed else weight.shape[0]
    of_weight = weight.shape[0] if transposed else weight.shape[1] * groups
    if of_weight != inputs.shape[1] or channels % groups or (bias is not None and tuple(bias.shape) != (channels,)):
        return None
    spatial = []
    for dim in range(count):
        size, step, pad = inputs.shape[2 + dim], stride[dim], padding[dim]
        reach = dilation[dim] * (weight.shape[2 + dim] - 1)
        if step < 1 or pad < 0 or dilation[dim] < 1:
            return None
        if transposed:
            spatial.append((size - 1) * step - 2 * pad + reach + output_padding[dim] + 1)
        else:
            spatial.append((size + 2 * pad - reach - 1) // step + 1)
    if min(spatial) < 1 or (transposed and any(map(int.__ge__, output_padding, map(max, stride, dilation)))):
        return None
    return [inputs.shape[0], channels, *spatial]


def _convolution_format(inputs: torch.Tensor, weight: torch.Tensor) -> torch.memory_format:
    """Channels last, where either of both is; and still is as the kernel gets it, without gaps."""
    found = _first_channels_last(inputs, weight)
    if found is torch.contiguous_format:
        return found
    return _first_channels_last(*(each.contiguous(memory_format=found) for each in (inputs, weight)))


def _first_channels_last(inputs: torch.Tensor, weight: torch.Tensor) -> torch.memory_format:
    found = format_of(inputs)
    return format_of(weight) if found is torch.contiguous_format else found


def _is_for_onednn(
    inputs: torch.Tensor, weight: torch.Tensor, stride: Sizes, transposed: bool, output_padding: Sizes, groups: int
) -> bool:
    """Whether PyTorch takes oneDNN for a convolution in three dimensions; its own kernel knows no channels last."""
    if transposed and any(map(int.__ge__, output_padding, stride)):
        return False
    if inputs.dtype in HALVES:
        return True
    large = groups > 1 or min(weight.shape[-2:]) > 3 or inputs.shape[0] > 1
    return inputs.dtype is torch.float32 and (large or math.prod(inputs.shape[:4]) > _FEW_ELEMENTS)
