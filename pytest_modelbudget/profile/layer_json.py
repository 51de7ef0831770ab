"""Layers as JSON, each on a line of its own; as fast as a file of 100,000 layers needs."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import fields
from functools import lru_cache
from typing import Any, NoReturn, TypeVar

from pytest_modelbudget.profile.collector import without_collecting
from pytest_modelbudget.profile.layer import Layer

T = TypeVar("T")

_encode = json.JSONEncoder(sort_keys=True, ensure_ascii=False).encode
_ENCODERS: dict[str, Callable[[Any], str]] = {
    # Few modules differ in type and description: most strings were encoded before.
    **dict.fromkeys(("type", "spec"), lru_cache(1024)(_encode)),
    **dict.fromkeys(("input_shape", "output_shape"), lambda shape: f"[{', '.join(map(str, shape))}]"),
    **dict.fromkeys(("name", "dtypes", "shared_with", "uncounted"), _encode),
}
_EMPTY = vars(Layer(name="", type=""))
_SORTED = tuple(
    (key, f'"{key}": ', _ENCODERS.get(key, str), None if key in ("name", "type") else _EMPTY[key])
    for key in sorted(each.name for each in fields(Layer))
)
# What a value is in JSON.
_KINDS = {
    **{key: type(value) for key, value in _EMPTY.items()},
    **dict.fromkeys(("input_shape", "output_shape", "dtypes", "shared_with"), list),
}
_ITEMS = {
    **dict.fromkeys(("input_shape", "output_shape"), frozenset({int})),
    **dict.fromkeys(("dtypes", "shared_with"), frozenset({str})),
}
_new: Callable[[type[Layer]], Layer] = object.__new__


def layer_line(layer: Layer, leave_out: frozenset[str] = frozenset()) -> str:
    """A layer as one line of JSON, its keys sorted, without the attributes that have their default value.

    Args:
        layer: the layer.
        leave_out: attributes that are not written.
    """
    values = vars(layer)
    parts = [
        key + encode(values[name])
        for name, key, encode, default in _SORTED
        if values[name] != default and name not in leave_out
    ]
    return f"{{{', '.join(parts)}}}"


def parse_layers(text: str, find: Callable[[Any], T]) -> T:
    """What ``find`` takes out of a JSON text, with `layers_from_plain` for its layers.

    Raises:
        ValueError: the text is no JSON, or ``find`` says so.
    """
    with without_collecting():
        return find(json.loads(text, object_pairs_hook=_once, parse_float=_refused, parse_constant=_refused))


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object of JSON; of a key that it has twice, as after a merge, nobody knows which value holds."""
    table = dict(pairs)
    if len(table) != len(pairs):
        twice = next(key for at, (key, _) in enumerate(pairs) if key in dict(pairs[:at]))
        raise ValueError(f"the key {_encode(twice)} stands there twice")
    return table


def _refused(number: str) -> NoReturn:
    raise ValueError(f"{number} is no integer")


def layers_from_plain(rows: Iterable[Any]) -> dict[str, Layer]:
    """Qualified name to layer, from the parsed lines that `layer_line` wrote.

    Raises:
        ValueError: a row is no layer; the message says which and why.
    """
    layers: dict[str, Layer] = {}
    # Few shapes and dtypes differ: each is kept once.
    kept: dict[tuple[Any, ...], tuple[Any, ...]] = {}
    for number, row in enumerate(rows, start=1):
        if not isinstance(row, dict) or "name" not in row or "type" not in row:
            raise ValueError(f"layer {number} has no name or no type")
        for key, value in row.items():
            kind = _KINDS.get(key, int)
            if type(value) is not kind:
                wrong = f"it cannot be {_encode(value)}" if key in _KINDS else "unknown key"
                raise ValueError(f"layer {number}: {key}: {wrong}")
            if kind is list:
                if not _ITEMS[key].issuperset(map(type, value)):
                    raise ValueError(f"layer {number}: {key}: it cannot be {_encode(value)}")
                items = tuple(value)
                row[key] = kept.setdefault(items, items)
            elif (kind is int and value < 0) or (kind is dict and not all(map(_is_count, value.values()))):
                raise ValueError(f"layer {number}: {key}: it cannot be {_encode(value)}")
        layer = layers[row["name"]] = _new(Layer)
        # What Layer(**row) does, in a third of the time: a file may hold 100,000.
        layer.__dict__.update(_EMPTY)
        layer.__dict__.update(row)
        if len(layer.__dict__) != len(_EMPTY):
            # A number under another key is a metric that a newer version knows, and of no use here.
            for key in row.keys() - _KINDS.keys():
                del layer.__dict__[key]
    return layers


def _is_count(value: object) -> bool:
    return type(value) is int and value >= 0
