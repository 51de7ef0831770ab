"""thop: counts by hooks on modules, each by its type; what is no module it does not see."""

from __future__ import annotations

import importlib.metadata
from typing import Any

from thop.profile import profile, register_hooks
from torch import nn

from pytest_modelbudget.engine.counters import Counter, Tally, by_rule, positional, settled, unruled

_Tree = dict[str, tuple[float, float, "_Tree"]]


def _count(model: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Tally:
    unseen = unruled(dict(model.named_modules()), lambda module: type(module) in register_hooks)
    given = positional("thop", model, args, kwargs)
    total, _, tree = profile(model, inputs=given, verbose=False, ret_layer_info=True)
    exact = {"": total - sum(ops for ops, _, _ in tree.values())}
    _take(tree, "", exact)
    return Tally(settled(exact, total), unseen, by_rule(exact, total))


def _take(tree: _Tree, prefix: str, exact: dict[str, float]) -> None:
    for name, (ops, _, below) in tree.items():
        exact[prefix + name] = ops - sum(inner for inner, _, _ in below.values())
        _take(below, f"{prefix}{name}.", exact)


def _name() -> str:
    """Which of the packages is there that are imported as ``thop``, and count differently."""
    names = importlib.metadata.packages_distributions().get("thop", ["thop"])
    return "ultralytics-thop" if "ultralytics-thop" in names else "thop"


COUNTER = Counter(_name(), _count)
