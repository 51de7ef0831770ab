"""What is kept of an operation's result, to make a new one when it is called alike again."""

from __future__ import annotations

from typing import Any

import torch

from pytest_modelbudget.engine.abstract import Description, describe_tensor

# Of a result: the argument whose storage it shares, or None; and whether it is that very tensor.
Return = tuple[int | str | None, bool]


class New:
    """A result in a storage of its own.

    Attributes:
        nbytes: the storage's size, which may be more than the result reaches.
    """

    __slots__ = ("description", "nbytes")

    def __init__(self, description: Description, nbytes: int) -> None:
        self.description = description
        self.nbytes = nbytes


class Alias:
    """A result that shares an argument's storage, or is that argument.

    Attributes:
        offset: in that storage, counted from the argument's.
        mirrors: whether it is lazily conjugated, and negated, where the argument is not; None where neither.
    """

    __slots__ = ("description", "is_same", "mirrors", "offset", "where")

    def __init__(
        self,
        description: Description,
        where: int | str,
        is_same: bool,
        offset: int | torch.SymInt,
        mirrors: tuple[bool, bool] | None,
    ) -> None:
        self.description = description
        self.where = where
        self.is_same = is_same
        self.offset = offset
        self.mirrors = mirrors


class Constant:
    """A result that is no tensor."""

    __slots__ = ("value",)

    def __init__(self, value: Any) -> None:
        self.value = value


def remember_all(out: Any, returns: list[Return], device: torch.device, args: Any) -> Any:
    """What is kept of a result, or of several, as the schema tells them apart."""
    if not isinstance(out, list | tuple):
        return _remember(out, *returns[0], device, args)
    hows = returns * len(out) if len(returns) == 1 else returns
    return type(out)([_remember(item, *how, device, args) for item, how in zip(out, hows, strict=True)])


def _remember(out: Any, where: int | str | None, is_same: bool, device: torch.device, args: Any) -> Any:
    if not isinstance(out, torch.Tensor):
        return Constant(out)
    description = describe_tensor(out, device)
    if where is None:
        where = _sharing(out, args)
    if where is not None:
        mirrors = (out.is_conj(), out.is_neg())
        return Alias(description, where, is_same, out.storage_offset(), mirrors if any(mirrors) else None)
    return New(description, out.untyped_storage().nbytes())


def _sharing(out: torch.Tensor, args: Any) -> int | None:
    """The argument whose storage a result shares although the schema does not say so (`_unsafe_view`)."""
    storage = out.untyped_storage()._cdata
    for position, arg in enumerate(args):
        if isinstance(arg, torch.Tensor) and arg.untyped_storage()._cdata == storage:
            return position
    return None
