"""The metrics: each one is a field here, with what everybody else has to know of it.

A new metric is a field of `Costs` and the code that measures it. Settings, tables, JSON, recorded files, the page,
diffs and the documentation are made from the fields.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Annotated, Literal, get_type_hints

Scope = Literal["model", "case"]


@dataclass(frozen=True)
class Metric:
    """One exact, non-negative integer that a profile carries.

    Attributes:
        unit: what is counted: ``"params"``, ``"MACs"``, ``"FLOPs"``, ``"elements"`` or ``"bytes"``.
        scope: ``"model"`` when it is the same for every input, else ``"case"``.
        meaning: what it is, in a sentence.
        words: unit words that a quantity of this metric may carry, in lower case.
        adds_up: whether the layers' own values add up to the profile's; else it has no meaning for one layer.
        is_column: whether tables of layers have a column of it.
        is_limited_first: whether the first limits of a model limit it; changes are ranked by these.
        twice: the metric of which it is twice the value, where it is none of its own; else empty.
        key: its name in settings, profiles and reports: that of its field.
    """

    unit: str
    scope: Scope
    meaning: str
    words: tuple[str, ...] = ()
    adds_up: bool = True
    is_column: bool = False
    is_limited_first: bool = False
    twice: str = ""
    key: str = ""

    @property
    def in_bytes(self) -> bool:
        """Whether quantities are written in bytes (``kB``, ``MiB``) instead of counts (``K``, ``M``)."""
        return self.unit == "bytes"


_PARAMS = ("param", "params", "parameter", "parameters")


@dataclass(frozen=True, kw_only=True)
class Costs:
    """What a layer costs, without its children, or a whole model."""

    params: Annotated[
        int,
        Metric(
            "params",
            "model",
            "Elements of all parameters, each tensor once.",
            _PARAMS,
            is_column=True,
            is_limited_first=True,
        ),
    ] = 0
    trainable_params: Annotated[
        int, Metric("params", "model", "Elements of the parameters with ``requires_grad``.", _PARAMS)
    ] = 0
    size: Annotated[
        int,
        Metric(
            "bytes",
            "model",
            "Bytes of parameters and persistent buffers, each storage once, at its own dtype.",
            is_column=True,
            is_limited_first=True,
        ),
    ] = 0
    macs: Annotated[
        int,
        Metric(
            "MACs",
            "case",
            "Multiply-accumulates of convolutions, matrix products, attention and recurrent cells in one forward pass.",
            ("mac", "macs"),
            is_column=True,
            is_limited_first=True,
        ),
    ] = 0
    activations: Annotated[
        int,
        Metric(
            "elements",
            "case",
            "Elements written by the operations that `macs` counts.",
            ("element", "elements", "activation", "activations"),
            is_column=True,
        ),
    ] = 0
    peak_memory: Annotated[
        int,
        Metric(
            "bytes",
            "case",
            "Most bytes alive at one moment: weights, inputs, activations, temporaries.",
            adds_up=False,
            is_limited_first=True,
        ),
    ] = 0

    @property
    def flops(self) -> int:
        """FLOPs, two for each multiply-accumulate."""
        return 2 * self.macs


_FLOPS = Metric(
    "FLOPs", "case", "FLOPs, two for each multiply-accumulate.", ("flop", "flops"), twice="macs", key="flops"
)


def _metrics() -> dict[str, Metric]:
    found: dict[str, Metric] = {}
    for key, hint in get_type_hints(Costs, include_extras=True).items():
        found[key] = replace(hint.__metadata__[0], key=key)
        if key == _FLOPS.twice:
            found[_FLOPS.key] = _FLOPS
    return found


METRICS: Mapping[str, Metric] = _metrics()

ADDITIVE = tuple(key for key, metric in METRICS.items() if metric.adds_up and not metric.twice)
"""Those of which a profile's total is the sum of its layers', and which no other is twice."""

CASE_METRICS = tuple(key for key, metric in METRICS.items() if metric.scope == "case")
LAYER_METRICS = tuple(key for key, metric in METRICS.items() if metric.adds_up)
COLUMNS = tuple(key for key, metric in METRICS.items() if metric.is_column)
FIRST_LIMITS = tuple(key for key, metric in METRICS.items() if metric.is_limited_first)
