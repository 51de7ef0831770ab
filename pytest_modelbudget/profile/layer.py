"""One layer of a model: what its module is, and what it costs itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from pytest_modelbudget.profile.metrics import Costs


@dataclass(frozen=True)
class Layer(Costs):
    """One module under one qualified name: its own work and weights, without its children's.

    It has the metrics as attributes. ``params`` and ``size`` are of what no earlier layer holds; ``peak_memory`` is the
    most that was alive in the whole forward pass at one moment while it or its children ran.

    Attributes:
        name: qualified name; ``""`` is the model itself.
        type: class of the module.
        spec: the module's own description (its ``extra_repr()``).
        calls: how often its forward ran.
        input_shape: shape of the first tensor that its first call took, or None; a jagged dimension is -1.
        output_shape: shape of the first tensor that its first call gave, or None.
        dtypes: dtypes of its parameters.
        shared_with: layers that it shares parameters or buffers with, and that they are counted in.
        uncounted: operation without a formula to calls.
    """

    name: str
    type: str
    spec: str = ""
    calls: int = 0
    input_shape: tuple[int, ...] | None = None
    output_shape: tuple[int, ...] | None = None
    dtypes: tuple[str, ...] = ()
    shared_with: tuple[str, ...] = ()
    uncounted: Mapping[str, int] = field(default_factory=dict)
