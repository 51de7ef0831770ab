"""What holds a module without being a container: functions, methods, and references that do not keep it alive.

A copied model whose functions still hold the original would run the original. So each is made anew, over the copies of
what it holds: a function gets cells, defaults and attributes of its own; functions that shared a cell share one again.
"""

from __future__ import annotations

import functools
import types
import weakref
from collections.abc import Callable
from typing import Any, Protocol

# What a function may reach and stay as it is: none of it can hold a module, or be changed by a call. A number in a cell
# is not among them, since a call may put another one there.
_CONSTANTS = (type, str, types.ModuleType)
_NUMBERS = (int, float, complex, bool, bytes, type(None))

_EMPTY = object()


class Copying(Protocol):
    """Copies values, each once."""

    def value(self, value: Any) -> Any:
        """The copy of a value."""

    def known(self, value: Any) -> Any:
        """The copy of a value that was copied before, or None."""

    def remember(self, original: Any, copied: Any) -> Any:
        """Note the copy of a value; give that copy."""


def _function(function: Any, copying: Copying) -> Any:
    attributes = function.__dict__
    if attributes and "_torchdynamo_orig_callable" in attributes:
        # Compiled: what was compiled runs in its place, as it does wherever a compiler is told to keep out.
        return copying.remember(function, copying.value(attributes["_torchdynamo_orig_callable"]))
    if _is_constant(function, set()):
        return function
    closure = function.__closure__ or ()
    new: dict[int, tuple[Any, Any]] = {}
    cells = []
    for cell in closure:
        copied = copying.known(cell)
        if copied is None:
            copied = copying.remember(cell, types.CellType())
            new[id(cell)] = cell, copied
        cells.append(copied)
    again = types.FunctionType(function.__code__, function.__globals__, function.__name__, None, tuple(cells))
    # Remembered before the cells are filled: a function may hold itself.
    copying.remember(function, again)
    for cell, copied in new.values():
        held = _contents(cell)
        if held is not _EMPTY:
            copied.cell_contents = copying.value(held)
    if function.__defaults__:
        again.__defaults__ = tuple([copying.value(value) for value in function.__defaults__])
    if function.__kwdefaults__:
        again.__kwdefaults__ = {name: copying.value(value) for name, value in function.__kwdefaults__.items()}
    again.__qualname__, again.__module__, again.__doc__ = function.__qualname__, function.__module__, function.__doc__
    annotations = "__annotate__" if hasattr(function, "__annotate__") else "__annotations__"  # new in Python 3.14
    setattr(again, annotations, getattr(function, annotations))
    again.__dict__.update({name: copying.value(value) for name, value in attributes.items()})
    return again


def _contents(cell: types.CellType) -> Any:
    """What a cell holds; `_EMPTY` where nothing was put in so far."""
    try:
        return cell.cell_contents
    except ValueError:
        return _EMPTY


def _is_constant(value: Any, seen: set[int], *, in_cell: bool = False) -> bool:
    """Whether a function, or what it holds, can stay as it is."""
    kind = type(value)
    if kind in _NUMBERS:
        return not in_cell
    if isinstance(value, _CONSTANTS):
        return True
    if kind is tuple:
        return all(_is_constant(item, seen) for item in value)
    if kind is types.BuiltinFunctionType:
        return value.__self__ is None or isinstance(value.__self__, _CONSTANTS)
    if kind is not types.FunctionType:
        return False
    if id(value) in seen:
        return True
    seen.add(id(value))
    if not all(_is_constant(_contents(cell), seen, in_cell=True) for cell in value.__closure__ or ()):
        return False
    held = (*(value.__defaults__ or ()), *(value.__kwdefaults__ or {}).values(), *value.__dict__.values())
    return all(_is_constant(item, seen) for item in held)


def _method(method: Any, copying: Copying) -> Any:
    return copying.remember(method, types.MethodType(copying.value(method.__func__), copying.value(method.__self__)))


def _builtin_method(method: Any, copying: Copying) -> Any:
    """A method that is written in C, as `list.append` of one list."""
    owner = method.__self__
    if owner is None or isinstance(owner, _CONSTANTS):
        return method
    copied = copying.value(owner)
    return method if copied is owner else getattr(copied, method.__name__)


def _partial(partial: Any, copying: Copying) -> Any:
    keywords = {name: copying.value(value) for name, value in partial.keywords.items()}
    again = functools.partial(copying.value(partial.func), *map(copying.value, partial.args), **keywords)
    copying.remember(partial, again)
    again.__dict__.update({name: copying.value(value) for name, value in partial.__dict__.items()})
    return again


def _cached(function: Any, copying: Copying) -> Any:
    """A cache of its own, which keeps nothing of a measurement afterwards."""
    again = functools.lru_cache(**function.cache_parameters())(copying.value(function.__wrapped__))
    copying.remember(function, again)
    kept = {name: copying.value(value) for name, value in function.__dict__.items() if name != "__wrapped__"}
    again.__dict__.update(kept)
    return again


def _reference(reference: Any, copying: Copying) -> Any:
    """To the copy of what it refers to. What is not copied by now is no part of the model."""
    copied = copying.known(reference())
    return reference if copied is None else copying.remember(reference, weakref.ref(copied))


def _method_reference(reference: Any, copying: Copying) -> Any:
    method = reference()
    if method is None or copying.known(method.__self__) is None:
        return reference
    bound = types.MethodType(copying.value(method.__func__), copying.known(method.__self__))
    return copying.remember(reference, weakref.WeakMethod(bound))


def referent(proxy: Any) -> Any:
    """The object that a proxy stands for, or None where it is gone."""
    try:
        return proxy.__init__.__self__
    except ReferenceError:
        return None


def _proxy(proxy: Any, copying: Copying) -> Any:
    copied = copying.known(referent(proxy))
    return proxy if copied is None else copying.remember(proxy, weakref.proxy(copied))


def _weak_values(values: Any, copying: Copying) -> Any:
    again = copying.remember(values, weakref.WeakValueDictionary())
    for key, value in list(values.items()):
        copied = copying.known(value)
        again[copying.value(key)] = value if copied is None else copied
    return again


def _weak_keys(keys: Any, copying: Copying) -> Any:
    again = copying.remember(keys, weakref.WeakKeyDictionary())
    for key, value in list(keys.items()):
        copied = copying.known(key)
        again[key if copied is None else copied] = copying.value(value)
    return again


def _weak_set(members: Any, copying: Copying) -> Any:
    again = copying.remember(members, weakref.WeakSet())
    for member in list(members):
        copied = copying.known(member)
        again.add(member if copied is None else copied)
    return again


# By exact type: what makes it anew over copies.
REBOUND: dict[type, Callable[[Any, Copying], Any]] = {
    types.FunctionType: _function,
    types.MethodType: _method,
    types.BuiltinMethodType: _builtin_method,
    types.MethodWrapperType: _builtin_method,
    functools.partial: _partial,
    functools._lru_cache_wrapper: _cached,
    weakref.ReferenceType: _reference,
    weakref.WeakMethod: _method_reference,
    weakref.ProxyType: _proxy,
    weakref.CallableProxyType: _proxy,
    weakref.WeakValueDictionary: _weak_values,
    weakref.WeakKeyDictionary: _weak_keys,
    weakref.WeakSet: _weak_set,
}
