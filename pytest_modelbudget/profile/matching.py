"""Which layer of one model is which layer of another, as a reader of the code would say.

By name first; numbered siblings (``layers.0``, ``block1``) as a sequence, so that one put in the middle is one layer
more; then, of what is left, by what a layer is: its type, description, parameters, and its children's.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Hashable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from pytest_modelbudget.profile.layer import Layer

if TYPE_CHECKING:
    from pytest_modelbudget.profile.profile import Profile

# Cells of the tables that align siblings, at most: of one pair of parents, and of two whole models.
_CELLS_OF_PARENTS, _CELLS_OF_MODELS = 100_000, 1_000_000
# How much speaks for two numbered siblings being the same layer. A name in words says more than a bare number.
_SAME, _ALIKE, _SAME_TYPE, _SAME_NUMBER, _SAME_NAME = 7, 4, 3, 1, 3


@dataclass(eq=False)
class Node:
    """A layer with its children.

    Attributes:
        layer: the layer.
        key: the last part of its qualified name.
        children: in the order of definition.
        same: equal for subtrees of the same modules with as many parameters.
        alike: equal for subtrees of modules of the same types.
        params: parameters of the subtree.
        is_taken: whether it has its counterpart.
    """

    layer: Layer
    key: str
    children: list[Node] = field(default_factory=list)
    same: int = 0
    alike: int = 0
    params: int = 0
    is_taken: bool = False

    def untaken(self) -> Iterator[Node]:
        """This node and those below it, parents first, but for one that has its counterpart and all below that."""
        stack = [self]
        while stack:
            node = stack.pop()
            if not node.is_taken:
                yield node
                stack += reversed(node.children)


@dataclass(frozen=True)
class Pair:
    """A layer of both models.

    Attributes:
        before: the layer of the first model.
        after: that of the second.
        is_renamed: whether its name is another, and not just its number in a sequence or its parent's name.
        replaced: where another module stands in its place, and one of both has no children to go on with: the nodes
            of both subtrees, which are one change together.
    """

    before: Node
    after: Node
    is_renamed: bool = False
    replaced: tuple[list[Node], list[Node]] | None = None


@dataclass(frozen=True)
class Matching:
    """Every layer of two models, each once.

    Attributes:
        pairs: layers of both, parents first.
        removed: the outermost layers of the first that the second lacks; `Node.untaken` gives all of each.
        added: those of the second that the first lacks.
    """

    pairs: list[Pair]
    removed: list[Node]
    added: list[Node]


def match(before: Profile, after: Profile) -> Matching:
    """Match the layers of two profiles."""
    known: dict[Hashable, int] = {}
    matcher = _Matcher()
    matcher.match(_outermost(before, known), _outermost(after, known))
    return Matching(
        matcher.pairs,
        [node for node in matcher.removed if not node.is_taken],
        [node for node in matcher.added if not node.is_taken],
    )


def _outermost(profile: Profile, known: dict[Hashable, int]) -> list[Node]:
    """The layers of a profile that no other holds, with all that is below them.

    Args:
        profile: the profile.
        known: what a subtree is to the number that stands for it, in both models.
    """
    nodes: dict[str, Node] = {}
    outermost = []
    for name, layer in profile.layers.items():
        parent, _, key = name.rpartition(".")
        node = nodes[name] = Node(layer, key)
        if name and parent in nodes:
            nodes[parent].children.append(node)
        else:
            outermost.append(node)
    for node in reversed(nodes.values()):
        layer, children = node.layer, node.children
        same = (layer.type, layer.spec, layer.params, *((child.key, child.same) for child in children))
        alike = (layer.type, *(child.alike for child in children))
        node.same = known.setdefault(same, len(known))
        node.alike = known.setdefault(alike, len(known))
        node.params = layer.params
        for child in children:
            node.params += child.params
    return outermost


class _Matcher:
    def __init__(self) -> None:
        self.pairs: list[Pair] = []
        self.removed: list[Node] = []
        self.added: list[Node] = []
        self._cells = _CELLS_OF_MODELS

    def match(self, before: list[Node], after: list[Node]) -> None:
        if len(before) == len(after) == 1:
            # The models themselves, whatever they are called, unless one is inside the other now.
            self._take(_inside(before[0], after[0]) or _outside(before[0], after[0]) or Pair(before[0], after[0]))
            self.removed += before
            self.added += after
        else:
            for pair in self._siblings(before, after):
                self._take(pair)
        self._find_moved()
        self._find_moved_and_changed()

    def _take(self, first: Pair) -> None:
        """Take a pair, and match all that is below it."""
        stack = [first]
        while stack:
            pair = stack.pop()
            before, after = pair.before, pair.after
            if _is_replaced(pair):
                pair = replace(pair, replaced=(list(before.untaken()), list(after.untaken())))
                for node in (*before.untaken(), *after.untaken()):
                    node.is_taken = True
            before.is_taken = after.is_taken = True
            self.pairs.append(pair)
            if pair.replaced is None:
                stack += reversed(self._siblings(before.children, after.children))

    def _siblings(self, before: list[Node], after: list[Node]) -> list[Pair]:
        """The pairs among the children of a pair; the other children are removed and added."""
        before, after = [[node for node in nodes if not node.is_taken] for nodes in (before, after)]
        if _stay_in_place(before, after):
            return list(map(Pair, before, after))
        pairs = self._by_name(before, after)
        pairs += _renamed_in_place(before, after, pairs)
        self.removed += _unpaired(before, [pair.before for pair in pairs])
        self.added += _unpaired(after, [pair.after for pair in pairs])
        order = {id(node): at for at, node in enumerate(after)}
        return sorted(pairs, key=lambda pair: order[id(pair.after)])

    def _by_name(self, before: list[Node], after: list[Node]) -> list[Pair]:
        groups: dict[str, tuple[list[Node], list[Node]]] = {}
        for side, nodes in enumerate((before, after)):
            for node in nodes:
                groups.setdefault(_stem(node.key), ([], []))[side].append(node)
        pairs: list[Pair] = []
        for old, new in groups.values():
            if len(old) == len(new) == 1:
                pairs += [Pair(old[0], new[0])] if old[0].key == new[0].key else []
            else:
                # Where none came or went, another number is another name.
                renames = len(old) == len(new)
                pairs += (Pair(*nodes, renames and nodes[0].key != nodes[1].key) for nodes in self._align(old, new))
        return pairs

    def _align(self, before: list[Node], after: list[Node]) -> list[tuple[Node, Node]]:
        """The pairs of two sequences of numbered siblings."""
        most = min(len(before), len(after))
        start = 0
        while start < most and before[start].same == after[start].same:
            start += 1
        tail = 0
        while tail < most - start and before[-1 - tail].same == after[-1 - tail].same:
            tail += 1
        ends = len(before) - tail, len(after) - tail
        middle = before[start : ends[0]], after[start : ends[1]]
        cells = len(middle[0]) * len(middle[1])
        if cells <= min(_CELLS_OF_PARENTS, self._cells):
            self._cells -= cells
            inner = _best_alignment(*middle)
        else:
            inner = _by_key_then_same(*middle)
        return [
            *zip(before[:start], after[:start], strict=True),
            *inner,
            *zip(before[ends[0] :], after[ends[1] :], strict=True),
        ]

    def _find_moved(self) -> None:
        """Pair what was removed in one place with the same that was added in another."""
        places: dict[Hashable, deque[Node]] = defaultdict(deque)
        for root in self.added:
            for node in root.untaken():
                for key in _as_itself(node):
                    places[key].append(node)
        # More of them come while pairs are taken.
        roots = set(map(id, self.added))
        for root in self.removed:
            for node in root.untaken():
                found = _first_untaken(places, _as_itself(node))
                # A part of one layer that equals a part of another has not moved, unless it is the most of it.
                if found is not None and (id(found) in roots or 2 * node.params >= root.params):
                    self._take(Pair(node, found, is_renamed=True))

    def _find_moved_and_changed(self) -> None:
        """Pair what was removed with what has its name and type in a parent that was added, or the other way round."""
        for parents, layers in ((self.added, self.removed), (self.removed, self.added)):
            places: dict[Hashable, deque[Node]] = defaultdict(deque)
            for root in parents:
                for node in root.untaken():
                    places[_as_called(node)].append(node)
            for node in layers:
                found = None if node.is_taken or node.key.isdigit() else _first_untaken(places, [_as_called(node)])
                if found is not None:
                    old, new = (node, found) if layers is self.removed else (found, node)
                    self._take(Pair(old, new, is_renamed=True))


def _inside(before: Node, after: Node) -> Pair | None:
    """The first model and that part of the second which is it, where it was wrapped into another."""
    if before.layer.type == after.layer.type:
        return None
    inner = [node for node in after.untaken() if node is not after and node.layer.type == before.layer.type]
    found = next((node for node in inner if node.same == before.same), inner[0] if len(inner) == 1 else None)
    return None if found is None else Pair(before, found, is_renamed=True)


def _outside(before: Node, after: Node) -> Pair | None:
    """That part of the first model which is the second, and the second."""
    pair = _inside(after, before)
    return None if pair is None else Pair(pair.after, pair.before, is_renamed=True)


def _is_replaced(pair: Pair) -> bool:
    before, after = pair.before, pair.after
    if before.children and after.children:
        return False
    if before.children or after.children:
        # What had its own parameters and has children now, or the other way round: it was wrapped, or taken apart.
        return before.layer.type != after.layer.type or bool(before.params or after.params)
    return before.layer.type != after.layer.type


def _stay_in_place(before: list[Node], after: list[Node]) -> bool:
    """Whether siblings have the names and types that they had, and none is what another one was."""
    if len(before) != len(after):
        return False
    was, now = set(), set()
    for old, new in zip(before, after, strict=True):
        if old.key != new.key or old.layer.type != new.layer.type:
            return False
        if old.same != new.same:
            was.add(old.same)
            now.add(new.same)
    return was.isdisjoint(now)


def _renamed_in_place(before: list[Node], after: list[Node], pairs: list[Pair]) -> list[Pair]:
    """Pairs of the children that `pairs` leaves: the same under another name, or alike in the same place."""
    found = [(pair.before, pair.after) for pair in pairs]
    renamed: list[tuple[Node, Node]] = []
    for as_what in (lambda node, _: node.same, lambda node, place: (node.alike, place)):
        known = [*found, *renamed]
        left, free = _unpaired(before, [old for old, _ in known]), _unpaired(after, [new for _, new in known])
        if not left or not free:
            break
        places = _places(before, known, 0), _places(after, known, 1)
        waiting: dict[Hashable, deque[Node]] = defaultdict(deque)
        for node in free:
            waiting[as_what(node, places[1][id(node)])].append(node)
        for node in left:
            like = waiting.get(as_what(node, places[0][id(node)]))
            if like:
                renamed.append((node, like.popleft()))
    return [Pair(*nodes, is_renamed=True) for nodes in renamed]


def _places(nodes: list[Node], pairs: list[tuple[Node, Node]], side: int) -> dict[int, int]:
    """By the id of a sibling: the number of the pair that the last paired one before it is in."""
    numbers = {id(pair[side]): number for number, pair in enumerate(pairs)}
    places, last = {}, -1
    for node in nodes:
        last = numbers.get(id(node), last)
        places[id(node)] = last
    return places


def _unpaired(nodes: Iterable[Node], paired: Iterable[Node]) -> list[Node]:
    ids = set(map(id, paired))
    return [node for node in nodes if id(node) not in ids]


def _stem(key: str) -> str:
    """A name without the number at its end."""
    return key.rstrip("0123456789")


def _as_itself(node: Node) -> list[Hashable]:
    """As what a moved subtree is found again: without parameters it is too like others to be known but by its name."""
    named = (node.same, node.key)
    return [named, node.same] if node.params else [named]


def _as_called(node: Node) -> Hashable:
    return node.layer.type, node.key


def _first_untaken(places: dict[Hashable, deque[Node]], keys: list[Hashable]) -> Node | None:
    for key in keys:
        nodes = places.get(key)
        while nodes:
            node = nodes.popleft()
            if not node.is_taken:
                return node
    return None


def _likeness(before: Node, after: Node) -> int:
    """How much speaks for two siblings being the same layer; 0 where nothing does."""
    same_name = 0
    if before.key == after.key:
        same_name = _SAME_NUMBER if before.key.isdigit() else _SAME_NAME
    if before.same == after.same and before.params:
        return _SAME + same_name
    if before.alike == after.alike:
        return _ALIKE + same_name
    return _SAME_TYPE + same_name if before.layer.type == after.layer.type else same_name


def _best_alignment(before: list[Node], after: list[Node]) -> list[tuple[Node, Node]]:
    """The pairs, in the order of both sequences, for which most speaks."""
    likeness = [[_likeness(old, new) for new in after] for old in before]
    best = [[0] * (len(after) + 1) for _ in range(len(before) + 1)]
    for above, here, likes in zip(best, best[1:], likeness, strict=False):
        for column, like in enumerate(likes, start=1):
            here[column] = max(above[column], here[column - 1], above[column - 1] + like)
    pairs = []
    row, column = len(before), len(after)
    while row and column:
        like = likeness[row - 1][column - 1]
        if like and best[row][column] == best[row - 1][column - 1] + like:
            row, column = row - 1, column - 1
            pairs.append((before[row], after[column]))
        elif best[row][column] == best[row][column - 1]:
            column -= 1
        else:
            row -= 1
    return pairs[::-1]


def _by_key_then_same(before: list[Node], after: list[Node]) -> list[tuple[Node, Node]]:
    """The pairs of sequences too long to be aligned: those of one name and type, then the same under other names."""
    by_key = {node.key: node for node in after}
    pairs = [
        (node, other)
        for node in before
        if (other := by_key.get(node.key)) is not None and other.layer.type == node.layer.type
    ]
    waiting: dict[int, deque[Node]] = defaultdict(deque)
    for node in _unpaired(after, [new for _, new in pairs]):
        waiting[node.same].append(node)
    left = _unpaired(before, [old for old, _ in pairs])
    return [*pairs, *((node, waiting[node.same].popleft()) for node in left if waiting[node.same])]
