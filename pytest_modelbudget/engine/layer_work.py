"""The work of one module, as it adds up while the forward pass runs."""

from __future__ import annotations


class Row:
    """The work of one module under one name, without its children's.

    Attributes:
        name: qualified name; the model itself is ``""``.
        calls: how often its forward ran.
        macs, activations: of its own operations.
        peak_memory: most bytes alive at one moment while it or its children ran.
        input_shape, output_shape: of the first tensor that its first call took and gave.
        uncounted: operation to calls, for operations without a formula.
        operations: operation to its MACs.
    """

    __slots__ = (
        "activations",
        "calls",
        "input_shape",
        "macs",
        "name",
        "operations",
        "output_shape",
        "peak_memory",
        "uncounted",
    )

    def __init__(self, name: str) -> None:
        self.name = name
        self.calls = 0
        self.macs = 0
        self.activations = 0
        self.peak_memory = 0
        self.input_shape: tuple[int, ...] | None = None
        self.output_shape: tuple[int, ...] | None = None
        self.uncounted: dict[str, int] = {}
        self.operations: dict[str, int] = {}
