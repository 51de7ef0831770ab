"""Why other tools count another number: the layers in which they differ, and what is known to make the difference."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass
from math import prod

from pytest_modelbudget.profile import Layer, Profile

Operations = Mapping[str, Mapping[str, int]]
"""Layer to operation to MACs."""

_PRODUCTS = ("bmm", "attention")
_ATTENTION = ("Attention", "attention", "Attn")
_NO_PRODUCTS = "does not see the attention products (queries with keys, weights with values)"
_OTHER, _ELEMENTWISE = "counts otherwise, for no reason known here", "counts elementwise work"
# By what the type of a module has in its name: what tools count in it that is no multiply-accumulate.
_COUNTED = {
    ("Norm",): "counts normalization",
    ("Pool",): "counts pooling",
    ("Embedding",): "counts embedding",
    ("Upsample",): "counts interpolation",
    ("Softmax",): "counts softmax",
    ("LU", "Sigmoid", "Tanh", "Swish", "Mish", "Softplus", "Hardswish"): "counts activation functions, one an element",
}
_COUNTED_DIFFERENTLY = {
    _ATTENTION: "counts biases, scaling and softmax of attention modules",
    ("ConvTranspose",): "counts a transposed convolution by its output, or all of its groups",
    ("LSTM", "GRU", "RNN"): "counts biases and elementwise work of recurrent cells",
    ("Bilinear",): "counts a bilinear layer as a linear one",
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
        scale: how many times its numbers are taken in what follows, where it counts one image of a batch.
        differences: largest first; together its scaled total less this package's.
        unseen: operation that has MACs here, in layers for which the tool has none, to those MACs.
    """

    counter: str
    total: int
    scale: int
    differences: tuple[Difference, ...]
    unseen: Mapping[str, int]


def compare(ours: Profile, theirs: Profile, operations: Operations) -> Comparison:
    """Explain how another counter's profile of a model differs.

    Args:
        ours: the model by ``aten``.
        theirs: the same by another counter.
        operations: what ``ours`` is made of.
    """
    scale = _batch(ours) if theirs.counter == "ptflops" else 1
    found: dict[str, list[tuple[str, int]]] = defaultdict(list)
    unseen: dict[str, int] = defaultdict(int)
    for name in {**ours.layers, **theirs.layers}:
        layer, other = ours.layers.get(name), theirs.layers.get(name)
        mine, told = layer.macs if layer else 0, other.macs if other else 0
        # ptflops counts functions, which it gives to no module, for the whole batch.
        its = told * scale if name else told
        if its != told:
            found[f"counts one image of the batch of {scale}"].append((name, told - its))
        if layer is not None and mine and not its:
            for operation, macs in operations.get(name, {}).items():
                unseen[operation] += macs
        known = layer or other
        if its != mine and known is not None:
            for reason, macs in _reasons(known, mine, its, operations.get(name, {}), theirs.counter):
                found[reason].append((name, macs))
    differences = [
        Difference(reason, sum(macs for _, macs in each), tuple(name for name, _ in each))
        for reason, each in found.items()
    ]
    ordered = sorted(differences, key=lambda each: -abs(each.macs))
    return Comparison(theirs.counter, theirs.macs, scale, tuple(ordered), dict(unseen))


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


def _together(profile: Profile, names: Iterable[str]) -> int:
    return sum(profile.layers[name].macs for name in names if name in profile.layers)


def _batch(profile: Profile) -> int:
    shape = next((layer.input_shape for layer in profile.layers.values() if layer.input_shape), None)
    return max(shape[0], 1) if shape else 1


def _reasons(layer: Layer, mine: int, its: int, operations: Mapping[str, int], counter: str) -> list[tuple[str, int]]:
    """Why a tool counts ``its`` instead of ``mine`` in one layer: reasons, and the MACs of each."""
    delta = its - mine
    if not its:
        return _left_out(layer, operations)
    if not layer.name and counter == "ptflops" and delta > 0:
        return [("counts functions outside of modules (additions, products, activations)", delta)]
    if layer.calls > 1 and mine and its % mine == 0:
        return [(f"counts a module that is called {layer.calls} times or shared more often than it runs", delta)]
    if -delta == _products(operations):
        return [(_NO_PRODUCTS, delta)]
    return [(_what_it_counts(layer, mine, delta), delta)]


def _left_out(layer: Layer, operations: Mapping[str, int]) -> list[tuple[str, int]]:
    """The reasons for a layer of which a tool sees nothing."""
    if _is(layer, "LSTM", "GRU", "RNN"):
        return [("does not see recurrent cells", -layer.macs)]
    reasons = []
    products = _products(operations)
    if products:
        reasons.append((_NO_PRODUCTS, -products))
    if layer.macs - products:
        what = (
            "the projections of attention modules"
            if _is(layer, *_ATTENTION)
            else "work that no module of a known type does"
        )
        reasons.append((f"does not see {what}", products - layer.macs))
    return reasons


def _products(operations: Mapping[str, int]) -> int:
    """The MACs of products of two activations."""
    return sum(macs for name, macs in operations.items() if any(part in name for part in _PRODUCTS))


def _what_it_counts(layer: Layer, mine: int, delta: int) -> str:
    """What a tool counts more, or less, in a layer that it sees."""
    if mine and delta == _elements(layer):
        return "counts biases, one an output element"
    known = _COUNTED_DIFFERENTLY if mine else _COUNTED
    return next((reason for parts, reason in known.items() if _is(layer, *parts)), _OTHER if mine else _ELEMENTWISE)


def _is(layer: Layer, *parts: str) -> bool:
    return any(part in layer.type for part in parts)


def _elements(layer: Layer) -> int:
    return prod(layer.output_shape or (0,)) * max(layer.calls, 1)
