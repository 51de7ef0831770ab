"""What measuring one case of a model gives: totals, and a row a layer."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any

from pytest_modelbudget.profile.layer import Layer
from pytest_modelbudget.profile.layer_json import layer_line, layers_from_plain, parse_layers
from pytest_modelbudget.profile.metrics import ADDITIVE, METRICS, Costs
from pytest_modelbudget.text.wording import nearest

if TYPE_CHECKING:
    from pytest_modelbudget.profile.diff import Diff

# What the JSON of a profile holds in its layers.
_IN_LAYERS = frozenset({"layers", *ADDITIVE})


@dataclass(frozen=True, repr=False)
class Profile(Costs):
    """What one case of a model costs. Every metric is an attribute, and an exact integer.

    Attributes:
        model: name of the model.
        case: name of the case.
        counter: what counted the MACs.
        mode: ``"eval"`` or ``"train"``.
        run: ``"abstract"`` or ``"real"``.
        note: why it ran on real tensors, where it was to run without; else empty.
        layers: qualified name to layer, parents first, in the order of definition.
        unknown: metrics that were not measured, as in a file that an older version recorded.
    """

    layers: Mapping[str, Layer]
    model: str = ""
    case: str = "default"
    counter: str = "aten"
    mode: str = "eval"
    run: str = "abstract"
    note: str = ""
    unknown: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """The layers say what the whole costs."""
        layers = self.layers.values()
        for key in ADDITIVE:
            object.__setattr__(self, key, sum([getattr(layer, key) for layer in layers]))

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
        return replace(self, layers=layers, peak_memory=self.layers[name].peak_memory if name else self.peak_memory)

    def diff(self, other: Profile) -> Diff:
        """What changes from this profile to another: printed, a row a change with its cause."""
        from pytest_modelbudget.profile.diff import diff

        return diff(self, other)

    def totals(self) -> dict[str, int]:
        """Metric to value, of those that were measured."""
        return {key: getattr(self, key) for key in METRICS if key not in self.unknown}

    def to_json(self) -> str:
        """The profile as JSON, a layer a line; `from_json` reads it."""
        head = {each.name: getattr(self, each.name) for each in fields(self) if each.name not in _IN_LAYERS}
        if not self.unknown:
            del head["unknown"]
        lines = [f"{json.dumps(key)}: {json.dumps(value, ensure_ascii=False)}" for key, value in sorted(head.items())]
        layers = ",\n".join(f"  {layer_line(layer)}" for layer in self.layers.values())
        return "{" + ",\n".join([*lines, f'"layers": [\n{layers}\n]']) + "}\n"

    @classmethod
    def from_json(cls, text: str) -> Profile:
        """The profile that `to_json` wrote.

        Raises:
            ValueError: the text is no such profile.
        """
        try:
            return parse_layers(text, cls._from_plain)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise ValueError(f"this is not the JSON of a profile: {error}") from error

    @classmethod
    def _from_plain(cls, plain: dict[str, Any]) -> Profile:
        layers, unknown = layers_from_plain(plain.pop("layers")), tuple(plain.pop("unknown", ()))
        return cls(layers=layers, unknown=unknown, **plain)

    def __repr__(self) -> str:
        totals = ", ".join(f"{key}={value}" for key, value in self.totals().items())
        return f"Profile({self.model}{'@' if self.model else ''}{self.case}: {totals})"

    def __str__(self) -> str:
        from pytest_modelbudget.profile.layer_table import layer_table, to_text

        return to_text(layer_table(self))
