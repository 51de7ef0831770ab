"""Whether what was alive in a run is what would be alive in the next one."""

from __future__ import annotations

import gc
import sys

from pytest_modelbudget.engine.memory import Memory


class Settling:
    """Watches one forward pass for imports, which happen once in a process.

    An import may keep tensors alive, as `torch.fx` does with the frames that led to it, or run the garbage collector,
    which frees what a model keeps in cycles. Either would be so in the first measurement of a process, and in no other.

    Args:
        memory: what is alive, before the forward pass.
    """

    def __init__(self, memory: Memory) -> None:
        self._memory = memory
        self._alive = memory.alive
        self._modules = len(sys.modules)
        self._collections = _collections()

    def is_settled(self) -> bool:
        """After the forward pass, its result let go: whether another one would have the same alive."""
        if len(sys.modules) == self._modules:
            return True
        return self._memory.alive == self._alive and _collections() == self._collections


def _collections() -> int:
    """How many times the garbage collector ran in this process."""
    return sum(generation["collections"] for generation in gc.get_stats())
