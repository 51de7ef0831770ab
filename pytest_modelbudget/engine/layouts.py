"""In which order tensors lie in memory: contiguous, channels last, or another."""

from __future__ import annotations

import torch

_CHANNELS_LAST = {4: torch.channels_last, 5: torch.channels_last_3d}


def is_plain(tensor: torch.Tensor) -> bool:
    """Whether the strides are those of a new tensor, for dimensions of size 1 too."""
    expected = 1
    for size, step in zip(reversed(tensor.shape), reversed(tensor.stride()), strict=True):
        if step != expected:
            return False
        expected *= size
    return expected > 0


def overlaps(tensor: torch.Tensor) -> bool:
    """Whether several of its elements are one in memory, as after `expand`."""
    return any(step == 0 and size > 1 for size, step in zip(tensor.shape, tensor.stride(), strict=True))


def format_of(tensor: torch.Tensor) -> torch.memory_format:
    """The memory format that PyTorch's kernels take a tensor to be in (`suggest_memory_format` in C++).

    Dimensions of size 1 leave it open, and then it is the contiguous one that is taken.
    """
    shape, strides = tensor.shape, tensor.stride()
    if len(shape) not in _CHANNELS_LAST or strides[1] == 0:
        return torch.contiguous_format
    least = 0
    for dim in (1, *range(len(shape) - 1, 1, -1), 0):
        if shape[dim] == 0 or strides[dim] < least or (dim == 0 and least == strides[1]):
            return torch.contiguous_format
        least = strides[dim] * max(shape[dim], 1)
    return _CHANNELS_LAST[len(shape)]


def in_format(tensor: torch.Tensor, memory_format: torch.memory_format) -> torch.Tensor:
    """A new tensor of the same shape and dtype in a memory format."""
    return torch.empty(tensor.shape, dtype=tensor.dtype, device=tensor.device, memory_format=memory_format)


def like(out: torch.Tensor, first: torch.Tensor) -> torch.Tensor:
    """A new tensor like ``out``, with the strides of a copy of ``first`` where that has the same shape."""
    if out.shape != first.shape:
        return out
    strides = torch.ops.aten.clone.default(first).stride()
    return torch.empty_strided(out.shape, strides, dtype=out.dtype, device=out.device)


def iterated(out: torch.Tensor, *operands: torch.Tensor) -> torch.Tensor:
    """A new tensor like ``out``, laid out as PyTorch's iterator over the elements of two ``operands`` does."""
    if len(operands) < 2:
        return out
    blanks = [torch.empty_strided(each.shape, each.stride(), device=each.device) for each in operands]
    strides = torch.ops.aten.add.Tensor(*blanks).stride()
    return torch.empty_strided(out.shape, strides, dtype=out.dtype, device=out.device)


def by_columns(tensor: torch.Tensor) -> torch.Tensor:
    """A new tensor of the same shape and dtype, each matrix of it column by column, as LAPACK has it."""
    return torch.empty(tensor.mT.shape, dtype=tensor.dtype, device=tensor.device).mT


def over(tensor: torch.Tensor, elements: int) -> torch.Tensor:
    """The tensor in a storage of at least so many elements."""
    if elements <= tensor.untyped_storage().nbytes() // tensor.element_size():
        return tensor
    storage = torch.empty(elements, dtype=tensor.dtype, device=tensor.device)
    return storage.as_strided(tensor.shape, tensor.stride())
