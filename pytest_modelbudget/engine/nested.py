"""Nested tensors in the strided layout, which attention on jagged ones is computed with: they tell no one shape.

PyTorch has kernels of its own for them, which are run as they are. Products are counted as those of the parts.
"""

from __future__ import annotations

from typing import Any

import torch

aten = torch.ops.aten


def is_among(args: Any) -> bool:
    """Whether one of an operation's arguments is such a tensor."""
    return any(isinstance(arg, torch.Tensor) and arg.is_nested and arg.layout is torch.strided for arg in args)


def macs_of(func: Any, args: Any) -> int | None:
    """The MACs of a product of nested tensors; None of another operation."""
    packet = func.overloadpacket
    if packet in (aten.matmul, aten.bmm):
        pairs = zip(args[0].unbind(), args[1].unbind(), strict=True)
        return sum(int(left.numel() * right.shape[-1]) for left, right in pairs)
    if packet is aten.linear:
        return int(args[0].numel() * args[1].shape[0])
    return None
