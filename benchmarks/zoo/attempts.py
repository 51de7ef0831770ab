"""What a zoo is: names of models, and for each the ways in which it may be built and called."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from torch import nn

Attempt = tuple[Callable[[], nn.Module], Any]
Zoo = Iterator[tuple[str, Callable[[], Iterable[Attempt]]]]


class UnknownError(Exception):
    """This script does not know how the model is built or called."""


def one(build: Callable[[], nn.Module], inputs: Any) -> Callable[[], list[Attempt]]:
    """The attempts of a model of which the inputs are known; a tuple of tensors, a dict, or a shape."""
    return lambda: [(build, inputs)]


def filled(function: Any, values: dict[str, Any], wanted: Iterable[str] = ()) -> dict[str, Any]:
    """The arguments that a call needs, and those that are wanted, by their names."""
    parameters = [p for p in inspect.signature(function).parameters.values() if p.name != "self"]
    named = [p for p in parameters if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]
    names = [p.name for p in named if p.default is p.empty or p.name in wanted]
    unknown = [name for name in names if name not in values]
    if unknown:
        raise UnknownError(f"nothing is known to give for {', '.join(unknown)}")
    return {name: values[name] for name in names}


def classes(module: Any, base: type = nn.Module) -> list[tuple[str, Any]]:
    """The public modules of a package, each once."""
    found: dict[Any, str] = {}
    for name in sorted(dir(module)):
        value = getattr(module, name, None)
        if inspect.isclass(value) and issubclass(value, base) and value is not base and not name.startswith("_"):
            found.setdefault(value, value.__name__)
    return [(name, value) for value, name in found.items()]
