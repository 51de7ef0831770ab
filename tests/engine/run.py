"""A module that runs a function, for tests of what one operation costs."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn


class Run(nn.Module):
    """A module without weights whose forward pass is a function."""

    def __init__(self, function: Callable[..., object]) -> None:
        super().__init__()
        self.function = function

    def forward(self, *args: torch.Tensor) -> object:
        return self.function(*args)
