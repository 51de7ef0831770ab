"""Weights that quantized modules hold packed, in objects that are no tensors."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch


def unpacked(packed: Any) -> Iterator[tuple[torch.Tensor, torch.Tensor | None]]:
    """Each weight and bias in a packed object: of a linear layer, a convolution, or one layer of a recurrent network.

    Nothing where it is an object of another kind, or was packed for an engine that is not here.
    """
    try:
        weight, bias = packed.unpack()
    except (AttributeError, RuntimeError, TypeError, ValueError):
        yield from _unpacked_cell(packed)
    else:
        yield weight, bias


def _unpacked_cell(packed: Any) -> Iterator[tuple[torch.Tensor, torch.Tensor | None]]:
    try:
        # Kind, tensors, doubles, integers, and the packed products of the input and of the hidden state.
        parts = packed.__getstate__()[0][4]
    except (AttributeError, RuntimeError, TypeError, IndexError):
        return
    for part in parts:
        yield from unpacked(part)
