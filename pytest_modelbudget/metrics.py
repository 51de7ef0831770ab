"""The metrics that can be measured and limited: their keys, units and scope."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Scope = Literal["model", "case"]


@dataclass(frozen=True)
class Metric:
    """One exact, non-negative integer that a profile carries.

    Attributes:
        key: name in settings, profiles and reports.
        unit: what is counted: ``"params"``, ``"MACs"``, ``"FLOPs"``, ``"elements"`` or ``"bytes"``.
        scope: ``"model"`` when it is the same for every input, else ``"case"``.
        words: unit words that a quantity of this metric may carry, in lower case.
        per_layer: whether it has a meaning for one layer.
    """

    key: str
    unit: str
    scope: Scope
    words: tuple[str, ...]
    per_layer: bool = True

    @property
    def in_bytes(self) -> bool:
        """Whether quantities are written in bytes (``kB``, ``MiB``) instead of counts (``K``, ``M``)."""
        return self.unit == "bytes"


METRICS: Mapping[str, Metric] = {
    metric.key: metric
    for metric in (
        Metric("params", "params", "model", ("param", "params", "parameter", "parameters")),
        Metric("trainable_params", "params", "model", ("param", "params", "parameter", "parameters")),
        Metric("size", "bytes", "model", ()),
        Metric("macs", "MACs", "case", ("mac", "macs")),
        Metric("flops", "FLOPs", "case", ("flop", "flops")),
        Metric("activations", "elements", "case", ("element", "elements", "activation", "activations")),
        Metric("peak_memory", "bytes", "case", (), per_layer=False),
    )
}

COUNTERS: tuple[str, ...] = ("aten", "thop", "ptflops", "fvcore")
