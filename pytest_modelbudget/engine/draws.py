"""Random numbers that are the same in an abstract run and in a real one.

Dropout of an abstract tensor draws nothing, and of a real one as many numbers as it has elements. So that what a model
decides at random afterwards (whether it leaves a layer out) is the same, each random operation starts the generator
anew, from how many came before it.
"""

from __future__ import annotations

import random
import sys
from typing import Any

import torch

_SEED = 0
# Spreads consecutive numbers over the seeds: 2**64 divided by the golden ratio.
_STEP = 0x9E3779B97F4A7C15
_SEEDS = 1 << 63


def seed_all() -> None:
    """Start the generators of the process anew: PyTorch's on each device in use, Python's and NumPy's."""
    _seed_torch(_SEED)
    random.seed(_SEED)
    numpy: Any = sys.modules.get("numpy")
    if numpy is not None:
        numpy.random.seed(_SEED)


def devices_in_use() -> range:
    """The CUDA devices whose generators have a state."""
    return range(torch.cuda.device_count() if torch.cuda.is_initialized() else 0)


def is_random(func: Any) -> bool:
    """Whether an operation draws random numbers."""
    return torch.Tag.nondeterministic_seeded in func.tags


class Draws:
    """The random operations of one run."""

    def __init__(self) -> None:
        self._count = 0

    def before(self, kwargs: dict[str, Any]) -> dict[str, Any]:
        """Prepare for the next random operation; give its keyword arguments.

        A generator among them, which belongs to the user, is left out: it would move on.
        """
        self._count += 1
        _seed_torch(self._count * _STEP % _SEEDS)
        return kwargs | {"generator": None} if kwargs.get("generator") is not None else kwargs


def _seed_torch(seed: int) -> None:
    # Not `torch.manual_seed`: it keeps a call for each device that is not in use yet.
    torch.default_generator.manual_seed(seed)
    for device in devices_in_use():
        torch.cuda.default_generators[device].manual_seed(seed)
