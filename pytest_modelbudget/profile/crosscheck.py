"""Why other tools count another number: the layers in which they differ, and what is known to make the difference."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import prod

from pytest_modelbudget.profile.layer import Layer
from pytest_modelbudget.profile.profile import Profile

Operations = Mapping[str, Mapping[str, int]]
"""Layer to operation to MACs."""

RULE, ROUNDING, FUNCTIONS = "rule", "rounding", "functions"
"""What a tool counts that is no operation: by its rule for a type of module, by rounding, and functions somewhere."""

_PRODUCTS = ("bmm", "attention")
_ATTENTION = ("Attention", "attention", "Attn")
# The operations of other tools that are multiply-accumulates, as they call them.
_MULTIPLYING = ("linear", "conv", "einsum", "matmul", "mm", "bmm", "addmm", "baddbmm")
# By what the name of a module's type or of an operation has in it: what tools count that is no multiply-accumulate.
_COUNTED = {
    ("Norm", "norm"): "counts normalization",
    ("Pool", "pool"): "counts pooling",
    ("Embedding",): "counts embedding",
    ("Upsample", "upsample", "interpolate"): "counts interpolation",
    ("Softmax", "softmax"): "counts softmax",
    ("LU", "Sigmoid", "Tanh", "Swish", "Mish", "Softplus", "Hardswish", "relu", "elu", "silu"): (
        "counts activation functions, one an element"
    ),
}


@dataclass(frozen=True)
class Difference:
    """One reason for which a tool counts another number.

    Attributes:
        reason: what it does, as a phrase that follows its name.
        macs: how many more it counts for that; below zero for what it leaves out.
        layers: the layers in which it does.
    """

    reason: str
    macs: int
    layers: tuple[str, ...]


@dataclass(frozen=True)
class Comparison:
    """A tool's count beside this package's own.

    Attributes:
        counter: what counted.
        total: its MACs.
        differences: largest first; together its total less this package's.
        unseen: operation that has MACs here, in layers for which the tool has none, to those MACs.
    """

    counter: str
    total: int
    differences: tuple[Difference, ...]
    unseen: Mapping[str, int]


def compare(ours: Profile, theirs: Profile, operations: Operations, parts: Operations | None = None) -> Comparison:
    """Explain how another counter's profile of a model differs.

    Args:
        ours: the model by ``aten``.
        theirs: the same by another counter.
        operations: what ``ours`` is made of.
        parts: what ``theirs`` is made of, before it is divided by a batch: by operation, or `RULE`. By default by rule.
    """
    if parts is None:
        parts = {name: {RULE: layer.macs} for name, layer in theirs.layers.items() if layer.macs}
    found: dict[str, list[tuple[str, int]]] = defaultdict(list)
    unseen: dict[str, int] = defaultdict(int)
    for names in _units(ours, theirs, parts):
        unit = _Unit(names, ours, theirs, operations, parts)
        for operation, macs in unit.unseen().items():
            unseen[operation] += macs
        for reason, macs in unit.reasons():
            found[reason].append((names[0], macs))
    divided = theirs.macs - sum(sum(counts.values()) for counts in parts.values())
    if divided:
        found[_one_image(ours, theirs, parts)] += _divided(theirs, parts, divided)
    differences = [
        Difference(reason, sum(macs for _, macs in each), tuple(name for name, _ in each))
        for reason, each in found.items()
    ]
    ordered = sorted((each for each in differences if each.macs), key=lambda each: -abs(each.macs))
    return Comparison(theirs.counter, theirs.macs, tuple(ordered), dict(unseen))


@dataclass(frozen=True)
class Differing:
    """Layers for which counters give different numbers, the same in each layer.

    Attributes:
        first, last: the names of the first layer and the last.
        layers: how many there are.
        type: class of the module.
        counts: counter to the MACs of all of them.
    """

    first: str
    last: str
    layers: int
    type: str
    counts: Mapping[str, int]

    @property
    def spread(self) -> int:
        """How far the counters are apart."""
        return max(self.counts.values()) - min(self.counts.values())


def differing(profiles: Mapping[str, Profile]) -> list[Differing]:
    """The layers in which counters differ, the largest difference first; layers alike are taken together."""
    alike: dict[Hashable, list[str]] = defaultdict(list)
    types: dict[str, str] = {}
    for name in dict.fromkeys(name for profile in profiles.values() for name in profile.layers):
        layers = [profile.layers.get(name) for profile in profiles.values()]
        counts = tuple(layer.macs if layer else 0 for layer in layers)
        types[name] = next(layer.type for layer in layers if layer)
        if len(set(counts)) > 1:
            alike[re.sub(r"\d+", "#", name), types[name], counts].append(name)
    rows = [
        Differing(
            names[0],
            names[-1],
            len(names),
            types[names[0]],
            {
                key: sum(each.layers[name].macs for name in names if name in each.layers)
                for key, each in profiles.items()
            },
        )
        for names in alike.values()
    ]
    return sorted(rows, key=lambda row: -row.spread)


def _units(ours: Profile, theirs: Profile, parts: Operations) -> list[list[str]]:
    """The names of layers, those of one module together: counters differ in which of its names they give it."""
    units: dict[Hashable, list[str]] = {}
    for name in dict.fromkeys((*ours.layers, *theirs.layers, *parts)):
        layer = ours.layers.get(name)
        first = layer.shared_with[0] if layer and layer.shared_with else name
        units.setdefault((first, layer and (layer.type, layer.spec)), []).append(name)
    return list(units.values())


def _one_image(ours: Profile, theirs: Profile, parts: Operations) -> str:
    """The reason of a tool that divides what it counts of modules."""
    shape = next((layer.input_shape for layer in ours.layers.values() if layer.input_shape), None)
    batch = shape[0] if shape else 0
    rules = {name: counts[RULE] for name, counts in parts.items() if name and RULE in counts}
    is_known = batch > 1 and all(
        0 <= whole - batch * theirs.layers[name].macs < batch for name, whole in rules.items() if name in theirs.layers
    )
    return f"counts one image of the batch of {batch}" if is_known else "counts one image of the batch on average"


def _divided(theirs: Profile, parts: Operations, divided: int) -> list[tuple[str, int]]:
    """How much less than the whole batch a tool tells of each layer; what is left over by rounding is the model's."""
    less = [
        (name, theirs.layers[name].macs - counts[RULE])
        for name, counts in parts.items()
        if name and RULE in counts and name in theirs.layers and theirs.layers[name].macs != counts[RULE]
    ]
    rest = divided - sum(macs for _, macs in less)
    return [*less, ("", rest)] if rest else less


class _Unit:
    """One module, by all of its names, as two counters see it."""

    def __init__(
        self, names: Sequence[str], ours: Profile, theirs: Profile, operations: Operations, parts: Operations
    ) -> None:
        layers = [ours.layers.get(name) for name in names]
        ran = [layer for layer in layers if layer is not None and (layer.calls or layer.macs)]
        known = [*ran, *(layer for layer in layers if layer), *(theirs.layers[n] for n in names if n in theirs.layers)]
        self._layer = known[0] if known else Layer(names[0], "")
        self._ran = bool(ran)
        self._is_once = len(ran) == 1
        self._mine = sum(layer.macs for layer in layers if layer is not None)
        self._operations = _sums(operations.get(name, {}) for name in names)
        self._parts = _sums(parts.get(name, {}) for name in names)

    def unseen(self) -> Mapping[str, int]:
        """The operations that have MACs here, of a layer for which the tool has none."""
        return {} if any(self._parts.values()) else self._operations

    def reasons(self) -> Iterator[tuple[str, int]]:
        """Why the tool counts another number: reasons, and the MACs of each; together the difference."""
        has_rule = bool(self._parts.get(RULE))
        left = 0
        for part, macs in self._parts.items():
            if part == ROUNDING:
                yield "rounds what it counts of layers", macs
            elif part == FUNCTIONS:
                yield "counts functions (additions, products, activations) too", macs
            elif part == RULE or (part in _MULTIPLYING and not has_rule):
                left += macs
            elif has_rule:
                yield f"counts {part} again in a module that it has counted", macs
            else:
                yield _named(part) or f"counts {part}", macs
        if left != self._mine:
            yield from self._of_products(left)

    def _of_products(self, its: int) -> Iterator[tuple[str, int]]:
        """The reasons for which a tool counts other multiply-accumulates."""
        layer, mine = self._layer, self._mine
        products = _products(self._operations)
        each = mine // layer.calls if layer.calls else 0
        if not its:
            yield from self._left_out(products)
        elif not self._ran:
            yield "counts a module that did not run, or did under another name", its
        elif not mine:
            yield _named(layer.type) or f"counts {layer.type} modules, which multiply nothing", its
        elif its - mine == self._elements and _has_bias(layer):
            yield "counts biases, one an output element", its - mine
        elif self._is_once and layer.calls > 1 and each and each * layer.calls == mine and not its % each:
            yield f"counts a module that is called {layer.calls} times as if it were {its // each}", its - mine
        elif products and its == mine - products:
            yield self._no_products, -products
        elif products and its == products:
            yield self._no_others, products - mine
        else:
            what = (
                f"{layer.type} modules" if RULE in self._parts else ", ".join(sorted({*self._parts} & {*_MULTIPLYING}))
            )
            yield f"counts {what} by a formula of its own", its - mine

    def _left_out(self, products: int) -> Iterator[tuple[str, int]]:
        """The reasons for a layer of which a tool sees nothing."""
        if _is(self._layer, "LSTM", "GRU", "RNN"):
            yield "does not see recurrent cells", -self._mine
            return
        if products:
            yield self._no_products, -products
        if self._mine - products:
            yield self._no_others, products - self._mine

    @property
    def _no_products(self) -> str:
        if _is(self._layer, *_ATTENTION) or any("attention" in name for name in self._operations):
            return "does not see the attention products (queries with keys, weights with values)"
        return "does not see products of two activations"

    @property
    def _no_others(self) -> str:
        if _is(self._layer, *_ATTENTION):
            return "does not see the projections of attention modules"
        return "does not see work that no module of a known type does"

    @property
    def _elements(self) -> int:
        return prod(self._layer.output_shape or (0,)) * max(self._layer.calls, 1)


def _sums(counts: Iterable[Mapping[str, int]]) -> dict[str, int]:
    found: dict[str, int] = defaultdict(int)
    for each in counts:
        for name, value in each.items():
            found[name] += value
    return dict(found)


def _products(operations: Mapping[str, int]) -> int:
    """The MACs of products of two activations."""
    return sum(macs for name, macs in operations.items() if any(part in name for part in _PRODUCTS))


def _named(what: str) -> str:
    """What a tool counts in a type of module or an operation that multiplies nothing; empty where that is unknown."""
    return next((reason for parts, reason in _COUNTED.items() if any(part in what for part in parts)), "")


def _has_bias(layer: Layer) -> bool:
    return _is(layer, "Linear", "Conv") and "bias=False" not in layer.spec


def _is(layer: Layer, *parts: str) -> bool:
    return any(part in layer.type for part in parts)
