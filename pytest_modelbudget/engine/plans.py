"""What the schema of an operation says of its arguments and results."""

from __future__ import annotations

from typing import Any

import torch

from pytest_modelbudget.engine.results import Return

aten = torch.ops.aten

# Results that depend on elements; with abstract arguments there is nothing to look at.
_READS_VALUES = (torch.Tag.data_dependent_output, torch.Tag.dynamic_output_shape)

# These change the shape of their argument too, though PyTorch does not tag them `inplace_view`.
_RESIZES = {aten.resize_, aten.resize_as_, aten.set_}

# In training these write into their fourth and fifth arguments, although their schema does not say so.
WRITES_STATISTICS = {aten.native_batch_norm, aten.cudnn_batch_norm, aten.miopen_batch_norm}
TRAINING = 5

# Has a `device` argument, and is no factory: its elements are those of its argument.
_NOT_FACTORIES = {aten._to_copy, aten.to}


class Plan:
    """What an overload's schema says of its arguments and results."""

    __slots__ = ("is_factory", "is_in_place", "reads_values", "reshapes", "returns", "takes_device", "writes")

    def __init__(self, func: Any) -> None:
        schema = func._schema
        packet = func.overloadpacket
        arguments = schema.arguments
        by_alias_set: dict[str, int | str] = {}
        # Where the arguments stand that are written into.
        self.writes: list[int | str] = []
        for position, argument in enumerate(arguments):
            if argument.alias_info is not None:
                where = argument.name if argument.kwarg_only else position
                for name in argument.alias_info.before_set:
                    by_alias_set[name] = where
                if argument.alias_info.is_write:
                    self.writes.append(where)
        self.is_in_place = bool(self.writes)
        if packet in WRITES_STATISTICS:
            self.writes = [3, 4]
        self.takes_device = any(a.name == "device" for a in arguments)
        self.is_factory = self.takes_device and packet not in _NOT_FACTORIES
        self.reads_values = any(tag in func.tags for tag in _READS_VALUES)
        self.reshapes = self.is_in_place and (torch.Tag.inplace_view in func.tags or packet in _RESIZES)
        # For each result: the argument whose storage it shares, or None; and whether it is that very tensor.
        self.returns: list[Return] = []
        for result in schema.returns:
            info = result.alias_info
            names = [name for name in info.before_set if name in by_alias_set] if info is not None else []
            self.returns.append((by_alias_set[names[0]] if names else None, bool(info and info.is_write)))
