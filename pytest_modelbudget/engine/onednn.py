"""oneDNN, which some machines have and others have not.

Its LSTM is one operation a layer, for which others multiply step by step, as PyTorch does everywhere for `nn.GRU` and
`nn.RNN`. Recurrent layers are measured by their steps, so that a number does not depend on the machine.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def recurrence_by_steps() -> Iterator[None]:
    """PyTorch takes recurrent layers apart into their steps, as where there is no oneDNN."""
    enabled = torch._C._get_mkldnn_enabled()
    torch._C._set_mkldnn_enabled(False)
    try:
        yield
    finally:
        torch._C._set_mkldnn_enabled(enabled)


@contextmanager
def usual_kernels() -> Iterator[None]:
    """One operation computes with oneDNN where it is there: convolutions are faster, and lay out their results so."""
    torch._C._set_mkldnn_enabled(True)
    try:
        yield
    finally:
        torch._C._set_mkldnn_enabled(False)
