"""Copies of objects of any class, with what they hold copied by other rules than their own."""

from __future__ import annotations

import copyreg
import types
import weakref
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import torch
from torch import nn

Copy = Callable[[Any], Any]

_SHARED = (type, property, types.CodeType, types.FunctionType, types.ModuleType, weakref.ref)


def rebuilt(value: Any, copied: Copy, memo: dict[int, Any]) -> Any:
    """A copy of an object, made as `copy.deepcopy` makes one, but with ``copied`` for each thing that it holds.

    So a tensor that it holds becomes what a tensor becomes elsewhere. An object that cannot be copied (a lock, an open
    file) is shared.

    Args:
        value: no tensor and no module.
        copied: the copy of any value.
        memo: what was copied already, by identity, in the form of `copy.deepcopy`.
    """
    if isinstance(value, _SHARED):
        return value
    try:
        own = getattr(value, "__deepcopy__", None)
        if own is None:
            return _reconstructed(value, copied, memo)
        # It copies itself, and finds these in the memo.
        for held in _tensors_and_modules(value):
            copied(held)
        memo[id(value)] = own(memo)
    except Exception:
        memo[id(value)] = value
    return memo[id(value)]


def _reconstructed(value: Any, copied: Copy, memo: dict[int, Any]) -> Any:
    """A copy in the way in which the object is pickled."""
    reduce = copyreg.dispatch_table.get(type(value))
    reduced = value.__reduce_ex__(4) if reduce is None else reduce(value)
    if isinstance(reduced, str):  # a name: there is only one of it
        return value
    # The memo goes by identity: what was made here must not be freed while it is in use.
    memo.setdefault(id(memo), []).append(reduced)
    make, args, state, items, pairs = (*reduced, None, None, None)[:5]
    made = memo[id(value)] = make(*(copied(arg) for arg in args))
    if state is not None:
        _set_state(made, copied(state))
    for item in items or ():
        made.append(copied(item))
    for key, item in pairs or ():
        made[copied(key)] = copied(item)
    return made


def _set_state(made: Any, state: Any) -> None:
    if hasattr(made, "__setstate__"):
        made.__setstate__(state)
        return
    in_slots: dict[str, Any] = {}
    if isinstance(state, tuple) and len(state) == 2:
        state, in_slots = state
    if state:
        made.__dict__.update(state)
    for name, item in (in_slots or {}).items():
        setattr(made, name, item)


def _tensors_and_modules(value: Any) -> Iterator[torch.Tensor | nn.Module]:
    """Those that an object reaches through attributes and containers, but for what PyTorch's own objects hold."""
    waiting, seen = [value], {id(value)}
    while waiting:
        for part in _parts(waiting.pop()):
            if isinstance(part, torch.Tensor | nn.Module):
                yield part
            elif id(part) not in seen and not isinstance(part, _SHARED):
                seen.add(id(part))
                waiting.append(part)


def _parts(value: Any) -> Iterable[Any]:
    if isinstance(value, str | bytes) or type(value).__module__.partition(".")[0] == "torch":
        return ()
    parts = list(getattr(value, "__dict__", {}).values())
    for kind in type(value).__mro__:
        names = kind.__dict__.get("__slots__", ())
        parts += [getattr(value, name, None) for name in ((names,) if isinstance(names, str) else names)]
    if isinstance(value, dict):
        parts += value.values()
    elif isinstance(value, list | tuple | set | frozenset):
        parts += value
    return parts
