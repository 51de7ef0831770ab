"""Bytes alive during a forward pass, from the lifetimes of storages."""

from __future__ import annotations

import weakref

import torch

from pytest_modelbudget.engine.parts import strided_parts


class Memory:
    """The bytes of all storages that are alive, and the most they have been.

    Attributes:
        alive: bytes alive now.
        peak: the largest ``alive`` since the last `open_window`.
    """

    __slots__ = ("_real", "alive", "peak")

    def __init__(self) -> None:
        self.alive = 0
        self.peak = 0
        self._real: dict[int, weakref.finalize[..., object]] = {}

    def open_window(self) -> int:
        """Start a new peak; give what `close_window` needs to go back to the one around it."""
        outer = self.peak
        self.peak = self.alive
        return outer

    def close_window(self, outer: int) -> int:
        """End the window that `open_window` started; give its peak in bytes."""
        inner = self.peak
        self.peak = max(inner, outer)
        return inner

    def allocate(self, nbytes: int) -> None:
        """Count ``nbytes`` as alive."""
        alive = self.alive = self.alive + nbytes
        if alive > self.peak:  # noqa: PLR1730 - called for every result, and three times as fast
            self.peak = alive

    def hold_real(self, tensor: torch.Tensor) -> None:
        """Count each storage under a real tensor, once, until it is freed."""
        if tensor.layout is not torch.strided:
            for part in strided_parts(tensor):
                if part.layout is torch.strided:
                    self.hold_real(part)
            return
        storage = tensor.untyped_storage()
        identity = storage._cdata
        if identity in self._real:
            return
        nbytes = storage.nbytes()
        self.allocate(nbytes)
        self._real[identity] = weakref.finalize(storage, self._release_real, identity, nbytes)

    def let_go(self, identity: int) -> bool:
        """Count the real storage of this identity no more; say whether it was counted."""
        release = self._real.get(identity)
        if release is None:
            return False
        release()
        return True

    def holds_real(self, tensor: torch.Tensor) -> bool:
        """Whether the storage of a real tensor is counted."""
        return tensor.untyped_storage()._cdata in self._real

    def _release_real(self, identity: int, nbytes: int) -> None:
        del self._real[identity]
        self.alive -= nbytes


class Storage:
    """The storage of abstract tensors: alive while any tensor on it is.

    Attributes:
        nbytes: its size in bytes.
        memory: where it is counted, or None.
    """

    __slots__ = ("memory", "nbytes")

    def __init__(self, nbytes: int, memory: Memory | None) -> None:
        self.nbytes = nbytes
        self.memory = memory
        if memory is not None:
            memory.allocate(nbytes)

    def __del__(self) -> None:
        if self.memory is not None:
            self.memory.alive -= self.nbytes
