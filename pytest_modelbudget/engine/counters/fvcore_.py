"""fvcore: counts the operations of a trace, each by its type. It traces on real tensors only."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from fvcore.nn import FlopCountAnalysis
from torch import nn

from pytest_modelbudget.engine.counters import Counter, Tally, positional, settled


def _count(model: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Tally:
    analysis = FlopCountAnalysis(model, positional("fvcore", model, args, kwargs))
    analysis.unsupported_ops_warnings(False).uncalled_modules_warnings(False).tracer_warnings("none")
    with torch.no_grad():
        below = {name: int(count) for name, count in analysis.by_module().items()}
        parts = _own_parts(analysis.by_module_and_operator())
        unseen = {name: analysis.unsupported_ops(name) for name in below}
        total = int(analysis.total())
    unseen = {name: dict(ops) for name, ops in _own_unseen(unseen).items() if ops}
    return Tally(settled(_own(below), total), unseen, parts)


def _own(below: dict[str, int]) -> dict[str, int]:
    """What each module does itself: what is done below its name without what is done below its children's."""
    own = dict(below)
    for name, count in below.items():
        if name:
            parent = name.rpartition(".")[0]
            own[parent if parent in own else ""] -= count
    return own


def _own_parts(below: Mapping[str, Mapping[str, float]]) -> dict[str, dict[str, int]]:
    """What each module does itself, by operation."""
    parts: dict[str, dict[str, int]] = {}
    for operation in dict.fromkeys(operation for counts in below.values() for operation in counts):
        for name, count in _own({name: int(counts.get(operation, 0)) for name, counts in below.items()}).items():
            if count:
                parts.setdefault(name, {})[operation] = count
    return parts


def _own_unseen(below: dict[str, Any]) -> dict[str, dict[str, int]]:
    own = {name: dict(ops) for name, ops in below.items()}
    for name, ops in below.items():
        parent = name.rpartition(".")[0]
        if name:
            for operation, calls in ops.items():
                left = own[parent if parent in own else ""]
                left[operation] = left.get(operation, 0) - calls
    return {name: {operation: calls for operation, calls in ops.items() if calls > 0} for name, ops in own.items()}


COUNTER = Counter("fvcore", _count, takes_abstract=False)
