"""Two profiles: what changed, layer by layer, and why."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from operator import attrgetter, sub
from typing import TYPE_CHECKING, Any, Literal

from pytest_modelbudget.profile.causes import causes, is_input_alone
from pytest_modelbudget.profile.collector import without_collecting
from pytest_modelbudget.profile.layer import Layer
from pytest_modelbudget.profile.matching import Node, Pair, match
from pytest_modelbudget.profile.metrics import ADDITIVE, FIRST_LIMITS, METRICS

if TYPE_CHECKING:
    from pytest_modelbudget.profile.profile import Profile

Kind = Literal["added", "removed", "changed", "renamed"]

# So many layers that changed for one and the same reason are one row.
_MANY = 3
_NUMBERS = re.compile(r"\d+")


@dataclass(frozen=True)
class Row:
    """One change: of a layer, of a whole subtree that came or went, or of several layers alike.

    Attributes:
        kind: what happened.
        before: qualified name in the first profile; None of what was added.
        after: qualified name in the second; None of what was removed.
        type: class of the module, as it is now; empty where the layers of a row have different ones.
        spec: its own description, where it has no children.
        causes: what differs, in the module's own words.
        deltas: additive metric to how much more the second profile has.
        layers: how many layers the row stands for, children included.
        count: how many changes alike are folded into it.
        last: the name of the last of those.
    """

    kind: Kind
    before: str | None
    after: str | None
    type: str
    spec: str
    causes: tuple[str, ...]
    deltas: Mapping[str, int]
    layers: int = 1
    count: int = 1
    last: str = ""

    @property
    def name(self) -> str:
        """The qualified name now, or of what was removed, the one it had."""
        return (self.before if self.after is None else self.after) or ""

    def delta(self, metric: str) -> int:
        """How much more of a metric that adds up over layers the second profile has."""
        half = METRICS[metric].twice
        return 2 * self.deltas[half] if half else self.deltas[metric]


@dataclass(frozen=True)
class Diff:
    """What changed between two profiles.

    Attributes:
        before: metric to total of the first profile, of those that both have.
        after: that of the second.
        rows: the changes, largest first; for each additive metric they add up to the difference of the totals.
        unchanged: how many layers did not change.
        notes: what differs in how the two were measured.
    """

    before: Mapping[str, int]
    after: Mapping[str, int]
    rows: tuple[Row, ...]
    unchanged: int
    notes: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        """Whether anything changed."""
        return bool(self.rows) or self.before != self.after

    def delta(self, metric: str) -> int:
        """How much more of a metric the second profile has; nothing of one that is not known of both."""
        return self.after.get(metric, 0) - self.before.get(metric, 0)

    def ranked(self, metric: str) -> tuple[Row, ...]:
        """The rows, those first that changed most of a metric that adds up over layers."""
        return tuple(sorted(self.rows, key=lambda row: -abs(row.delta(metric))))

    def __str__(self) -> str:
        from pytest_modelbudget.profile.changes import changes
        from pytest_modelbudget.profile.layer_table import to_text

        return to_text(changes(self))


def diff(before: Profile, after: Profile) -> Diff:
    """What changed from one profile to another."""
    with without_collecting():
        return _diff(before, after)


def _diff(before: Profile, after: Profile) -> Diff:
    old, new = before.totals(), after.totals()
    # What an older version did not record cannot have changed.
    apart = old.keys() ^ new.keys()
    before, after = (_without(profile, apart) for profile in (before, after))
    old, new = before.totals(), after.totals()
    matching = match(before, after)
    rows: list[Row] = []
    unchanged = 0
    for pair in matching.pairs:
        row = _row_of_pair(pair)
        rows += [row] if row else []
        unchanged += row is None
    rows += (_row_of_subtree("removed", node) for node in matching.removed)
    rows += (_row_of_subtree("added", node) for node in matching.added)
    most = {key: max(old[key], new[key]) for key in old}
    ranked = sorted(_folded(rows), key=lambda row: _rank(row, most), reverse=True)
    return Diff(old, new, tuple(ranked), unchanged, tuple(_notes(before, after)))


def _without(profile: Profile, metrics: Set[str]) -> Profile:
    """A profile as if these metrics had not been measured."""
    if not metrics:
        return profile
    nothing: dict[str, Any] = {key: 0 for key in metrics if key in ADDITIVE}
    layers = {name: replace(layer, **nothing) for name, layer in profile.layers.items()} if nothing else profile.layers
    return replace(profile, layers=layers, unknown=(*profile.unknown, *(metrics - set(profile.unknown))))


def _row_of_pair(pair: Pair) -> Row | None:
    """What changed in one layer; None where nothing did."""
    before, after = pair.before.layer, pair.after.layer
    if pair.replaced is not None:
        old, new = pair.replaced
        return Row(
            "changed",
            before.name,
            after.name,
            after.type,
            "" if pair.after.children else after.spec,
            (_replacement(pair, old, new),),
            _difference([node.layer for node in old], [node.layer for node in new]),
            max(len(old), len(new)),
        )
    found = tuple(causes(before, after))
    if not found and not pair.is_renamed:
        return None
    return Row(
        "changed" if found else "renamed",
        before.name,
        after.name,
        after.type,
        "" if pair.after.children else after.spec,
        (*((f"was {before.name}",) if found and pair.is_renamed else ()), *found),
        _difference([before], [after]),
    )


def _replacement(pair: Pair, old: list[Node], new: list[Node]) -> str:
    """What stands in place of a layer, and whether the layer lives on inside it."""
    before, after = pair.before, pair.after
    text = f"{before.layer.type} → {after.layer.type}"
    inside = next((node for node in new[1:] if node.same == before.same), None)
    if inside is not None:
        return f"{text}, which holds it as {inside.layer.name.removeprefix(f'{after.layer.name}.')}"
    outside = next((node for node in old[1:] if node.same == after.same), None)
    if outside is not None:
        return f"{text}, which was its {outside.layer.name.removeprefix(f'{before.layer.name}.')}"
    return text


def _row_of_subtree(kind: Literal["added", "removed"], root: Node) -> Row:
    """All of a subtree that came or went."""
    layers = [node.layer for node in root.untaken()]
    name = root.layer.name
    sides = ([], layers) if kind == "added" else (layers, [])
    return Row(
        kind,
        name if kind == "removed" else None,
        name if kind == "added" else None,
        root.layer.type,
        "" if root.children else root.layer.spec,
        (),
        _difference(*sides),
        len(layers),
    )


_additive = attrgetter(*ADDITIVE)


def _difference(before: Iterable[Layer], after: Iterable[Layer]) -> dict[str, int]:
    old, new = ([sum(values) for values in zip(*map(_additive, layers), strict=True)] for layers in (before, after))
    nothing = [0] * len(ADDITIVE)
    return dict(zip(ADDITIVE, map(sub, new or nothing, old or nothing), strict=True))


def _rank(row: Row, most: Mapping[str, int]) -> tuple[float, ...]:
    """How much a change matters: its largest share of a total that is limited first; of equals, of the others."""
    shares = {key: abs(delta) / (most.get(key) or 1) for key, delta in row.deltas.items()}
    largest = max(share for key, share in shares.items() if key in FIRST_LIMITS)
    return (largest, *(share for key, share in shares.items() if key not in FIRST_LIMITS), row.kind == "changed")


def _notes(before: Profile, after: Profile) -> list[str]:
    notes = []
    if before.counter != after.counter:
        notes.append(f"counted with {before.counter} before and {after.counter} now: their MACs are not comparable")
    if before.mode != after.mode:
        notes.append(f"measured in {before.mode} mode before and in {after.mode} mode now")
    return notes


# -- folding


def _folded(rows: Sequence[Row]) -> list[Row]:
    """The rows with those put together that say the same."""
    for key, least in ((_as_siblings, 2), (_as_alike, 2), (_by_cause, _MANY)):
        rows = _grouped(rows, key, least)
    return list(rows)


def _as_siblings(row: Row) -> Hashable:
    """The same for numbered siblings that came or went, and for layers that moved together."""
    if row.kind == "renamed":
        return _move(row.before or "", row.after or "")
    return id(row) if row.kind == "changed" else (row.kind, row.name.rstrip("0123456789"), row.type, row.spec)


def _as_alike(row: Row) -> Hashable:
    """The same for one change at several layers whose names differ in numbers."""
    if row.kind == "renamed":
        return id(row)
    # A cause may name a layer; other numbers in it are those of the change itself.
    named = tuple(_NUMBERS.sub("#", cause) if row.name and row.name in cause else cause for cause in row.causes)
    return (row.kind, _NUMBERS.sub("#", row.name), row.type, row.spec, named, row.layers, *row.deltas.values())


def _move(before: str, after: str) -> Hashable:
    """What a name lost and got, where it ends as before: ``features.0`` to ``model.features.0``."""
    old, new = (_NUMBERS.sub("#", name).split(".") for name in (before, after))
    while old and new and old[-1] == new[-1]:
        del old[-1], new[-1]
    return "renamed", tuple(old), tuple(new)


def _by_cause(row: Row) -> Hashable:
    """The same for layers that changed for one and the same reason, each by its own amount."""
    if row.kind != "changed" or not row.causes:
        return id(row)
    return "input" if is_input_alone(row.causes) else row.causes


def _grouped(rows: Sequence[Row], key: Callable[[Row], Hashable], least: int) -> list[Row]:
    groups: dict[Hashable, list[Row]] = defaultdict(list)
    for row in rows:
        groups[key(row)].append(row)
    return [
        row
        for group in groups.values()
        for row in ([_fold(group)] if sum(row.count for row in group) >= max(least, 2) else group)
    ]


def _fold(rows: Sequence[Row]) -> Row:
    if len(rows) == 1:
        return rows[0]
    first = rows[0]
    return replace(
        first,
        type=first.type if len({row.type for row in rows}) == 1 else "",
        spec=first.spec if len({row.spec for row in rows}) == 1 else "",
        deltas={key: sum(row.deltas[key] for row in rows) for key in ADDITIVE},
        layers=sum(row.layers for row in rows),
        count=sum(row.count for row in rows),
        last=rows[-1].last or rows[-1].name,
    )
