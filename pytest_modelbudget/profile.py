"""What measuring one case of a model gives: totals, and a row a layer."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING

from pytest_modelbudget.metrics import METRICS
from pytest_modelbudget.wording import nearest

if TYPE_CHECKING:
    from pytest_modelbudget.diff import Diff


@dataclass(frozen=True)
class Layer:
    """One module under one qualified name: its own work and weights, without its children's.

    Attributes:
        name: qualified name; ``""`` is the model itself.
        type: class of the module.
        spec: the module's own description (its ``extra_repr()``).
        calls: how often its forward ran.
        input_shape: shape of the first tensor that its first call took, or None; a jagged dimension is -1.
        output_shape: shape of the first tensor that its first call gave, or None.
        params: elements of its parameters that no earlier layer holds.
        trainable_params: those of them with ``requires_grad``.
        size: bytes of its parameters and persistent buffers that no earlier layer stores.
        macs: multiply-accumulates of its own operations.
        activations: elements written by those.
        peak_memory: most bytes alive in the whole forward pass at one moment while it or its children ran.
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
    params: int = 0
    trainable_params: int = 0
    size: int = 0
    macs: int = 0
    activations: int = 0
    peak_memory: int = 0
    dtypes: tuple[str, ...] = ()
    shared_with: tuple[str, ...] = ()
    uncounted: Mapping[str, int] = field(default_factory=dict)

    @property
    def flops(self) -> int:
        """FLOPs, two for each multiply-accumulate."""
        return 2 * self.macs


@dataclass(frozen=True, repr=False)
class Profile:
    """What one case of a model costs. Every metric is an exact integer.

    Attributes:
        model: name of the model.
        case: name of the case.
        counter: what counted the MACs.
        mode: ``"eval"`` or ``"train"``.
        run: ``"abstract"`` or ``"real"``.
        note: why it ran on real tensors, where it was to run without; else empty.
        layers: qualified name to layer, parents first, in the order of definition.
        peak_memory: most bytes alive at one moment: weights, inputs, activations, temporaries.
    """

    layers: Mapping[str, Layer]
    peak_memory: int
    model: str = ""
    case: str = "default"
    counter: str = "aten"
    mode: str = "eval"
    run: str = "abstract"
    note: str = ""

    def _total(self, key: str) -> int:
        return sum(getattr(layer, key) for layer in self.layers.values())

    @property
    def params(self) -> int:
        """Elements of all parameters, each tensor once."""
        return self._total("params")

    @property
    def trainable_params(self) -> int:
        """Elements of the parameters with ``requires_grad``."""
        return self._total("trainable_params")

    @property
    def size(self) -> int:
        """Bytes of parameters and persistent buffers, each storage once, at its own dtype."""
        return self._total("size")

    @property
    def macs(self) -> int:
        """Multiply-accumulates of convolutions, matrix products, attention and recurrent cells in one forward pass."""
        return self._total("macs")

    @property
    def flops(self) -> int:
        """FLOPs, two for each multiply-accumulate."""
        return 2 * self.macs

    @property
    def activations(self) -> int:
        """Elements written by the operations that `macs` counts."""
        return self._total("activations")

    @property
    def uncounted(self) -> dict[str, int]:
        """The calls of each operation that does arithmetic and has no formula."""
        calls: dict[str, int] = {}
        for layer in self.layers.values():
            for operation, count in layer.uncounted.items():
                calls[operation] = calls.get(operation, 0) + count
        return calls

    def __getitem__(self, name: str) -> Profile:
        """The subtree of one layer, its children included, under the names that they have in the whole model.

        Raises:
            KeyError: there is no layer of that name.
        """
        if name not in self.layers:
            near = nearest(name, self.layers)
            raise KeyError(f'no layer "{name}"' + (f'; did you mean "{near}"?' if near else ""))
        prefix = f"{name}." if name else ""
        layers = {key: layer for key, layer in self.layers.items() if key == name or key.startswith(prefix)}
        return Profile(
            layers=layers,
            peak_memory=self.layers[name].peak_memory if name else self.peak_memory,
            model=self.model,
            case=self.case,
            counter=self.counter,
            mode=self.mode,
            run=self.run,
            note=self.note,
        )

    def diff(self, other: Profile) -> Diff:
        """What changes from this profile to another: printed, a row a change with its cause."""
        from pytest_modelbudget.diff import diff

        return diff(self, other)

    def totals(self) -> dict[str, int]:
        """Metric to value."""
        return {key: getattr(self, key) for key in METRICS}

    def to_json(self) -> str:
        """The profile as JSON, a layer a line; `from_json` reads it."""
        from pytest_modelbudget.layer_json import layer_line

        head = {each.name: getattr(self, each.name) for each in fields(self) if each.name != "layers"}
        lines = [f"{json.dumps(key)}: {json.dumps(value, ensure_ascii=False)}" for key, value in sorted(head.items())]
        layers = ",\n".join(f"  {layer_line(layer)}" for layer in self.layers.values())
        return "{" + ",\n".join([*lines, f'"layers": [\n{layers}\n]']) + "}\n"

    @classmethod
    def from_json(cls, text: str) -> Profile:
        """The profile that `to_json` wrote.

        Raises:
            ValueError: the text is no such profile.
        """
        from pytest_modelbudget.layer_json import layers_from_plain, parse_layers

        try:
            return parse_layers(text, lambda plain: cls(layers=layers_from_plain(plain.pop("layers")), **plain))
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise ValueError(f"this is not the JSON of a profile: {error}") from error

    def __repr__(self) -> str:
        totals = ", ".join(f"{key}={value}" for key, value in self.totals().items())
        return f"Profile({self.model}{'@' if self.model else ''}{self.case}: {totals})"

    def __str__(self) -> str:
        from pytest_modelbudget.report.table import layer_table, to_text

        return to_text(layer_table(self))
