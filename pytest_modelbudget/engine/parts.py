"""The plain tensors that a tensor of another layout or kind is stored as."""

from __future__ import annotations

from typing import Any

import torch
from torch.utils._python_dispatch import is_traceable_wrapper_subclass


def strided_parts(tensor: Any) -> tuple[torch.Tensor, ...]:
    """The plain tensors that a sparse tensor, or one of a kind that wraps others, is stored as; else the tensor."""
    if is_traceable_wrapper_subclass(tensor):
        names, _context = tensor.__tensor_flatten__()
        return tuple(part for name in names for part in strided_parts(getattr(tensor, name)))
    if tensor.layout is torch.strided:
        return (tensor,)
    if tensor.layout is torch.sparse_coo:
        return tensor._indices(), tensor._values()
    if tensor.layout in (torch.sparse_csr, torch.sparse_bsr):
        return tensor.crow_indices(), tensor.col_indices(), tensor.values()
    if tensor.layout in (torch.sparse_csc, torch.sparse_bsc):
        return tensor.ccol_indices(), tensor.row_indices(), tensor.values()
    return (tensor,)
