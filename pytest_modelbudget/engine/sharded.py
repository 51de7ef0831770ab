"""Models that are spread over processes by PyTorch: `fully_shard`, `parallelize_module`, and tensors that are shards.

What a model costs does not depend on how many processes share it. So it is measured whole: with tensors of their full
shapes, and without the hooks that gather and scatter the shards.
"""

from __future__ import annotations

import sys
from typing import Any

import torch
from torch import nn

from pytest_modelbudget.errors import MeasurementError

_DISTRIBUTED = "torch.distributed."
_STATE = "__composable_api_state_key"


def is_sharded(tensor: torch.Tensor) -> bool:
    """Whether a tensor is one that several processes share. The module of those is not loaded for this."""
    home = sys.modules.get("torch.distributed.tensor")
    return home is not None and isinstance(tensor, home.DTensor)


def local_whole(tensor: Any) -> torch.Tensor:
    """The elements of a shared tensor, where this process has them all.

    Raises:
        MeasurementError: it has a part of them.
    """
    local: torch.Tensor = tensor.to_local()
    if local.shape != tensor.shape:
        shape, part = ("×".join(map(str, each.shape)) for each in (tensor, local))
        raise MeasurementError(
            f"a run on real tensors needs all elements of a tensor of {shape}, and this process has a shard of {part}; "
            "measure the model as it is before it is sharded, or a callable that builds it so"
        )
    return local


def whole_type(module: nn.Module) -> type[nn.Module]:
    """The class of a module as it was before `fully_shard` gave it one of its own."""
    kind = type(module)
    home = sys.modules.get("torch.distributed.fsdp")
    if home is None or not issubclass(kind, getattr(home, "FSDPModule", ())):
        return kind
    bases = kind.__bases__
    return bases[-1] if len(bases) == 2 and kind.__module__.startswith(_DISTRIBUTED) else kind


def whole_hooks(hooks: Any) -> Any:
    """A table of hooks without those of `torch.distributed`, which move shards about."""
    if not hooks or not any(_moves_shards(hook) for hook in hooks.values()):
        return hooks
    return type(hooks)((key, hook) for key, hook in hooks.items() if not _moves_shards(hook))


def is_state(name: str) -> bool:
    """Whether an attribute holds what `torch.distributed` knows of a module's shards."""
    return name.startswith(_STATE)


def _moves_shards(hook: Any) -> bool:
    return str(getattr(hook, "__module__", "")).startswith(_DISTRIBUTED)
