"""An independent account of the bytes alive in a forward pass, to hold `peak_memory` to.

It shares no code with the package: every storage that a tensor was seen on is watched by a weak reference, and the peak
is the largest sum of those that live.
"""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator
from typing import Any

import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


class LiveBytes(TorchDispatchMode):
    """Sums the sizes of all storages alive that were seen.

    Attributes:
        peak: the largest sum so far, in bytes.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._sizes: dict[int, int] = {}
        self.peak = 0

    def see(self, value: Any) -> None:
        """Watch the storages of all tensors in a value."""
        for tensor in _plain(value):
            storage = tensor.untyped_storage()
            address = storage._cdata
            if address not in self._sizes:
                self._sizes[address] = storage.nbytes()
                weakref.finalize(storage, self._sizes.pop, address)
        self.peak = max(self.peak, sum(self._sizes.values()))

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if any(kind not in (torch.Tensor, nn.Parameter) for kind in types):
            return NotImplemented
        out = func(*args, **(kwargs or {}))
        # What oneDNN's recurrent layers keep besides results depends on the machine, and is left out by convention.
        self.see(out[:3] if func is torch.ops.aten.mkldnn_rnn_layer.default else out)
        return out


def _plain(value: Any) -> Iterator[torch.Tensor]:
    for leaf in tree_leaves(value):
        if not isinstance(leaf, torch.Tensor):
            if type(leaf).__module__.startswith("transformers.cache"):
                yield from _plain(list(vars(leaf).values()))
        elif leaf.layout is torch.sparse_coo:
            yield from (leaf._indices(), leaf._values())
        elif leaf.layout is torch.sparse_csr:
            yield from (leaf.crow_indices(), leaf.col_indices(), leaf.values())
        else:
            yield leaf


def peak_of(model: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], mode: str) -> int:
    """The most bytes alive in one forward pass of ``model`` itself: weights, inputs and what is computed."""
    model.train(mode == "train")
    fused = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)  # as in every measurement: it hides modules in another
    gc.collect()
    gc.disable()
    try:
        live = LiveBytes()
        live.see([list(model.parameters()), list(model.buffers()), list(args), kwargs])
        with torch.set_grad_enabled(mode == "train"), live:
            model(*args, **kwargs)
        return live.peak
    finally:
        gc.enable()
        torch.backends.mha.set_fastpath_enabled(fused)
