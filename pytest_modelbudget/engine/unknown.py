"""Real tensors whose elements mean nothing any more, since abstract ones were written into them."""

from __future__ import annotations

import weakref
from typing import Any

import torch

from pytest_modelbudget.engine.abstract import AbstractTensor, describe_tensor, make
from pytest_modelbudget.engine.memory import Memory, Storage

# What PyTorch says where the elements of such a tensor are read without an operation.
UNREADABLE = ("unallocated storage", "Cannot access data pointer")


class Unknown:
    """The storages of one measurement that hold no elements any more, though tensors on them are real.

    From then on each such tensor is taken for an abstract one over the same storage, which lives as long as the real
    one, or the last abstract tensor on it.

    Args:
        memory: where real storages are counted, or None.
    """

    def __init__(self, memory: Memory | None) -> None:
        self._memory = memory
        self._held: dict[int, Storage] = {}

    def __bool__(self) -> bool:
        return bool(self._held)

    def add(self, tensor: torch.Tensor) -> None:
        """Note that the elements of a real tensor, and of all tensors that share its storage, are lost."""
        storage = tensor.untyped_storage()
        identity = storage._cdata
        if identity in self._held:
            return
        nbytes = storage.nbytes()
        is_ours = self._memory is not None and self._memory.let_go(identity)
        self._held[identity] = Storage(nbytes, self._memory if is_ours else None)
        # The registry of finalizers outlives what is not ours.
        weakref.finalize(storage, self._held.pop, identity, None).atexit = False
        if is_ours and storage.resizable():  # else it is the user's
            _make_unreadable(tensor, storage)

    def abstracted(self, value: Any) -> Any:
        """``value`` with those of its tensors abstract whose elements are lost, through lists, tuples and dicts."""
        if type(value) is AbstractTensor:
            return value
        if isinstance(value, torch.Tensor):
            if value.layout is not torch.strided:
                return value
            held = self._held.get(value.untyped_storage()._cdata)
            return value if held is None else make(describe_tensor(value), held, offset=value.storage_offset())
        if isinstance(value, list | tuple):
            return type(value)([self.abstracted(item) for item in value])
        if isinstance(value, dict):
            return {key: self.abstracted(item) for key, item in value.items()}
        return value


def _make_unreadable(tensor: torch.Tensor, storage: torch.UntypedStorage) -> None:
    """Have what reads elements without an operation raise, instead of giving old ones."""
    storage.resize_(0)  # for `.tolist()`
    torch._C._set_throw_on_mutable_data_ptr(tensor)  # for `.numpy()`
