"""Which commit made which layer what it is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from pytest_modelbudget.profile.layer import Layer
from pytest_modelbudget.profile.matching import match
from pytest_modelbudget.profile.profile import Profile

Maker = TypeVar("Maker")
"""What makes a model what it is: a commit, or what is known of it."""


@dataclass(frozen=True)
class Blame(Generic[Maker]):
    """Where a model's cost comes from.

    Attributes:
        layers: each layer of today, by name, to the commit that last changed its cost.
        costs: the same names to the cost today.
        growth: each commit that changed the total after the first one, oldest first, and by how much: together today's
            total less the first one.
        first: the first commit, and the total there.
    """

    layers: Mapping[str, Maker]
    costs: Mapping[str, int]
    growth: Sequence[tuple[Maker, int]]
    first: tuple[Maker, int]

    @property
    def total(self) -> int:
        """The total today."""
        return sum(self.costs.values())


def blame(profiles: Sequence[tuple[Maker, Profile]], metric: str) -> Blame[Maker]:
    """Trace each layer's cost to the commit that last changed it.

    A layer that was renamed or moved, and costs what it did, stays with its commit.

    Args:
        profiles: what a model cost from which commit on, oldest first; at least one.
        metric: an additive metric, or ``flops``.
    """

    def cost(layer: Layer) -> int:
        value: int = getattr(layer, metric)
        return value

    first, before = profiles[0]
    made = dict.fromkeys(before.layers, first)
    growth = []
    for commit, after in profiles[1:]:
        made = _carried(made, before, after, commit, metric)
        delta = getattr(after, metric) - getattr(before, metric)
        if delta:
            growth.append((commit, delta))
        before = after
    costs = {name: cost(layer) for name, layer in before.layers.items()}
    return Blame(made, costs, growth, (first, getattr(profiles[0][1], metric)))


def _carried(
    made: Mapping[str, Maker], before: Profile, after: Profile, commit: Maker, metric: str
) -> dict[str, Maker]:
    """The commit of each layer after one more commit."""
    now = dict.fromkeys(after.layers, commit)
    for pair in match(before, after).pairs:
        old, new = pair.before.layer, pair.after.layer
        if pair.replaced is None and getattr(old, metric) == getattr(new, metric):
            now[new.name] = made[old.name]
    return now
