"""What ``inputs`` of a case describes: tensors and how they are passed, as plain data."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

from pytest_modelbudget.text.wording import Mistake, instead, shown

FLOATING = ("float32", "float16", "bfloat16", "float64")
COMPLEX = ("complex64", "complex128")
INTEGERS: Mapping[str, range] = {
    "int64": range(-(2**63), 2**63),
    "int32": range(-(2**31), 2**31),
    "int16": range(-(2**15), 2**15),
    "int8": range(-(2**7), 2**7),
    "uint8": range(2**8),
}
"""The integer dtypes and the values that each can hold."""
_LARGEST: Mapping[str, float] = {
    **dict.fromkeys(("float32", "complex64"), (2 - 2**-23) * 2.0**127),
    "float16": (2 - 2**-10) * 2.0**15,
    "bfloat16": (2 - 2**-7) * 2.0**127,
}
"""The largest finite value of the dtypes that hold less than Python does."""
DTYPES = (*FLOATING, *INTEGERS, "bool", *COMPLEX)

_TENSOR_KEYS = ("shape", "dtype", "low", "high", "fill")
_OTHER_NAMES = {"float": "float32", "double": "float64", "half": "float16", "int": "int32", "long": "int64"}
_DEEPEST = 32


@dataclass(frozen=True)
class TensorSpec:
    """A tensor to be made.

    Attributes:
        shape: its dimensions, each at least 1; empty for a tensor of one element and no dimension.
        dtype: one of `DTYPES`, or None for a floating-point tensor of the model's dtype.
        low: smallest integer drawn; set whenever ``high`` is.
        high: one more than the largest integer drawn; None where the values do not matter.
        fill: the value of every element; None where the elements are not all the same.
    """

    shape: tuple[int, ...]
    dtype: str | None = None
    low: int | None = None
    high: int | None = None
    fill: int | float | bool | None = None


@dataclass(frozen=True)
class ValueSpec:
    """A value that is passed as it is."""

    value: bool | int | float | str


@dataclass(frozen=True)
class ListSpec:
    """A list of what its items describe."""

    items: tuple[Spec, ...]


@dataclass(frozen=True)
class TableSpec:
    """A dict of what its items describe."""

    items: Mapping[str, Spec]


Spec: TypeAlias = "TensorSpec | ValueSpec | ListSpec | TableSpec"


@dataclass(frozen=True)
class Positional:
    """Inputs passed as ``model(*args)``."""

    args: tuple[Spec, ...]


@dataclass(frozen=True)
class Keywords:
    """Inputs passed as ``model(**kwargs)``."""

    kwargs: Mapping[str, Spec]


@dataclass(frozen=True)
class Made:
    """Inputs that the user's callable gives: a tensor, a tuple of arguments, or a dict of keyword arguments.

    Attributes:
        by: ``module:callable``.
    """

    by: str


InputSpec: TypeAlias = Positional | Keywords | Made


def decode_inputs(value: object) -> InputSpec:
    """What a TOML value under the key ``inputs`` describes.

    Raises:
        Mistake: it describes nothing that can be passed to a model; ``path`` leads to the part that is wrong.
    """
    if isinstance(value, str):
        if ":" not in value:
            raise Mistake(f'must be a shape such as [1, 3, 224, 224], or "module:callable"; not {shown(value)}')
        return Made(callable_path(value))
    if isinstance(value, dict):
        if "shape" in value:
            return Positional((_tensor(value),))
        _refuse_shapeless(value)
        return Keywords(_table(value, 0).items)
    if not isinstance(value, list):
        right = 'a shape such as [1, 3, 224, 224], a list, a table, or "module:callable"'
        raise Mistake(f"must be {right}; not {shown(value)}")
    if not value:
        return Positional(())
    one = _list(value, 0)
    return Positional((one,) if isinstance(one, TensorSpec) else one.items)


def callable_path(text: str) -> str:
    """``text``, checked to read ``module:callable``, both of them dotted names.

    Raises:
        Mistake: it does not.
    """
    module, colon, name = text.partition(":")
    if not (colon and _is_dotted_name(module) and _is_dotted_name(name)):
        raise Mistake(f'must read "module:callable", such as "torchvision.models:alexnet"; not {shown(text)}')
    return text


def _is_dotted_name(text: str) -> bool:
    return all(part.isidentifier() for part in text.split("."))


def _argument(value: object, depth: int) -> Spec:
    """What one argument, or one item of a list, describes."""
    if isinstance(value, list):
        if not value:
            raise Mistake("is empty; a tensor without dimensions is written { shape = [] }")
        return _list(value, depth)
    if isinstance(value, dict):
        if "shape" in value:
            return _tensor(value)
        _refuse_shapeless(value)
        return _table(value, depth)
    raise Mistake(f"must be a shape, a list or a table; not {shown(value)}")


def _list(value: list[object], depth: int) -> TensorSpec | ListSpec:
    """What a list with items describes: integers a tensor, lists and tables a list of what they describe."""
    _refuse_deep(depth)
    if all(_is_integer(item) for item in value):
        return TensorSpec(_shape(value))
    if any(_is_integer(item) for item in value):
        at = next(at for at, item in enumerate(value) if not _is_integer(item))
        raise Mistake(f"is {shown(value[at])} in a list of integers; a shape has integers only", (at,))
    items = []
    for at, item in enumerate(value):
        if not isinstance(item, list | dict):
            advice = "a value that is no tensor is passed by keyword, { name = value }"
            raise Mistake(f"must be a shape, a list or a table, not {shown(item)}; {advice}", (at,))
        items.append(_within(at, item, depth))
    return ListSpec(tuple(items))


def _table(value: dict[str, object], depth: int) -> TableSpec:
    """What a table without ``shape`` describes."""
    _refuse_deep(depth)
    items: dict[str, Spec] = {}
    for key, item in value.items():
        items[key] = ValueSpec(item) if isinstance(item, bool | int | float | str) else _within(key, item, depth)
    return TableSpec(items)


def _within(step: str | int, value: object, depth: int) -> Spec:
    """`_argument` of a part, its mistakes told from the whole."""
    try:
        return _argument(value, depth + 1)
    except Mistake as mistake:
        raise mistake.under(step) from None


def _refuse_deep(depth: int) -> None:
    if depth > _DEEPEST:
        raise Mistake(f"lists and tables are nested more than {_DEEPEST} deep")


def _refuse_shapeless(value: dict[str, object]) -> None:
    """Refuse a table that describes a tensor and forgets its shape."""
    if value and all(key in _TENSOR_KEYS for key in value):
        raise Mistake("needs a shape, such as shape = [1, 77]")


def _tensor(value: dict[str, object]) -> TensorSpec:
    """The tensor that a table with ``shape`` describes."""
    for key in value:
        if key not in _TENSOR_KEYS:
            raise Mistake(f"unknown key; {instead(key, _TENSOR_KEYS)}", (key,))
    shape = value["shape"]
    if not isinstance(shape, list):
        raise Mistake(f"must be a list of integers, such as [1, 77]; not {shown(shape)}", ("shape",))
    try:
        dimensions = _shape(shape)
    except Mistake as mistake:
        raise mistake.under("shape") from None
    dtype = _dtype(value["dtype"]) if "dtype" in value else None
    if "low" in value or "high" in value:
        dtype = dtype or "int64"
        low, high = _range(value, dtype)
        return TensorSpec(dimensions, dtype, low, high)
    if "fill" in value:
        fill = _fill(value["fill"], dtype)
        # As in torch.full: a truth value fills a mask.
        return TensorSpec(dimensions, "bool" if isinstance(fill, bool) else dtype, fill=fill)
    return TensorSpec(dimensions, dtype)


def _shape(value: list[object]) -> tuple[int, ...]:
    sizes = tuple(_integer(size, at) for at, size in enumerate(value))
    for at, size in enumerate(sizes):
        if size < 1:
            raise Mistake(f"is {shown(size)}; a dimension is at least 1", (at,))
        if size not in INTEGERS["int64"]:
            raise Mistake(f"is {shown(size)}; no tensor is so large", (at,))
    return sizes


def _dtype(value: object) -> str:
    if not isinstance(value, str):
        raise Mistake(f'must be a string such as "int64", not {shown(value)}', ("dtype",))
    if value not in DTYPES:
        name = re.sub(r"^torch\.", "", value)
        raise Mistake(f"unknown dtype {shown(value)}; {instead(_OTHER_NAMES.get(name, name), DTYPES)}", ("dtype",))
    return value


def _range(value: dict[str, object], dtype: str) -> tuple[int, int]:
    """``low`` and ``high`` of a tensor of ``dtype``, from which integers are drawn, ``high`` excluded."""
    if "high" not in value:
        raise Mistake("needs a high as well: integers are drawn from low up to, not including, high", ("low",))
    if "fill" in value:
        raise Mistake("has no meaning beside high: the elements are either drawn or all the same", ("fill",))
    low, high = (_integer(value.get(key, 0), key) for key in ("low", "high"))
    if dtype not in INTEGERS:
        message = f'low and high draw integers, but dtype is "{dtype}"; drop them or write an integer dtype'
        raise Mistake(message, ("dtype",))
    if low >= high:
        raise Mistake(f"is {shown(high)}; it must be above low, which is {shown(low)}", ("high",))
    if low not in INTEGERS[dtype]:
        raise Mistake(f"is {shown(low)}, which no {dtype} can hold", ("low",))
    if high not in INTEGERS["int64"]:
        # PyTorch reads the end of the range, too, as an int64.
        raise Mistake(f"is {shown(high)}; it is at most {INTEGERS['int64'].stop - 1}", ("high",))
    if high - 1 not in INTEGERS[dtype]:
        raise Mistake(f"is {shown(high)}, and no {dtype} can hold {shown(high - 1)}", ("high",))
    return low, high


def _fill(value: object, dtype: str | None) -> bool | int | float:
    """The value that fills a tensor of ``dtype``."""
    if not isinstance(value, bool | int | float):
        raise Mistake(f"must be a number, true or false; not {shown(value)}", ("fill",))
    if isinstance(value, bool):
        if dtype not in (None, "bool"):
            raise Mistake(f'must be a number, as dtype is "{dtype}"; not {shown(value)}', ("fill",))
        return value
    if dtype == "bool":
        raise Mistake(f'must be true or false, as dtype is "bool"; not {shown(value)}', ("fill",))
    if isinstance(value, float):
        if dtype in INTEGERS:
            raise Mistake(f'must be an integer, as dtype is "{dtype}"; not {shown(value)}', ("fill",))
    elif value not in INTEGERS.get(dtype or "", INTEGERS["int64"]):
        raise Mistake(f"is {shown(value)}, which no {dtype if dtype in INTEGERS else 'tensor'} can hold", ("fill",))
    if _LARGEST.get(dtype or "", math.inf) < abs(value) < math.inf:
        raise Mistake(f"is {shown(value)}, which no {dtype} can hold", ("fill",))
    return value


def _integer(value: object, step: str | int) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise Mistake(f"must be an integer, not {shown(value)}", (step,))
    return value


def _is_integer(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
