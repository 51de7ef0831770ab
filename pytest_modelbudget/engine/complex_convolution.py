"""Convolutions of complex numbers, which PyTorch takes apart into three real ones of the same shapes.

A complex multiply-accumulate counts as one, as a real one does; so one of the three counts.
"""

from __future__ import annotations

from types import FrameType
from typing import Any

import torch

VIEW_AS_REAL = torch.ops.aten.view_as_real.default
_CONVOLUTION = torch.ops.aten.convolution.default
_PARTS = 3


class ComplexConvolutions:
    """Tells the parts of complex convolutions from convolutions that a model makes itself.

    PyTorch's own code looks at the input and the weight as real numbers and then convolves three times, all within one
    call from Python: the same instruction of the same frame. What a model writes out itself are several instructions.

    Attributes:
        has_begun: whether the next convolution may be a part of one.
    """

    def __init__(self) -> None:
        self.has_begun = False
        self._caller: object = None
        self._viewed: list[tuple[int, ...]] = []
        self._parts = 0

    def note_view(self, frame: FrameType, tensor: torch.Tensor) -> None:
        """A complex tensor is looked at as real numbers, by an operation that ``frame`` called."""
        caller = _instruction(frame)
        if caller != self._caller or self._parts or not self.has_begun:
            self._caller, self._viewed, self._parts = caller, [], 0
        self.has_begun = True
        self._viewed.append(tuple(tensor.shape))

    def is_further_part(self, frame: FrameType, func: Any, args: Any) -> bool:
        """Whether an operation is the second or third part of a complex convolution."""
        known = func is _CONVOLUTION and tuple(args[1].shape) in self._viewed[1:]
        if not known or _instruction(frame) != self._caller:
            self.has_begun = False
            return False
        self._parts += 1
        self.has_begun = self._parts < _PARTS
        return self._parts > 1


def _instruction(frame: FrameType) -> object:
    return id(frame), frame.f_code, frame.f_lasti
