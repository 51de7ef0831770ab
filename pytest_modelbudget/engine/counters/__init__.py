"""Other tools as counters, one small file each: what they count for a copy of a model, module by module.

The package's own counter, ``aten``, is the `Recorder`; these run beside it and replace its MACs by theirs.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.metadata
import io
import logging
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from pytest_modelbudget.errors import MeasurementError
from pytest_modelbudget.profile.crosscheck import ROUNDING, RULE
from pytest_modelbudget.settings.counters import BUILT_IN, brought
from pytest_modelbudget.text.wording import shown


@dataclass(frozen=True)
class Tally:
    """What a tool counted.

    Attributes:
        macs: qualified name to MACs of the module's own, as the tool assigns them; together its total.
        unseen: qualified name to what the tool has no rule for, with calls.
        parts: qualified name to what the tool counted while that module ran, for the whole batch: by its rule for the
            module (`RULE`), and by functions and operations. Where it is empty all is by rules.
    """

    macs: Mapping[str, int]
    unseen: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    parts: Mapping[str, Mapping[str, int]] = field(default_factory=dict)


@dataclass(frozen=True)
class Counter:
    """A tool that counts.

    Attributes:
        name: what it is called.
        count: counts for a model, which it may change, called with positional and keyword arguments.
        takes_abstract: whether it runs on abstract tensors.
    """

    name: str
    count: Callable[[nn.Module, tuple[Any, ...], dict[str, Any]], Tally]
    takes_abstract: bool = True


def load(name: str) -> Counter:
    """The counter of that name: one of this folder, or one that another package brings.

    Raises:
        MeasurementError: it is not installed, or cannot be loaded.
    """
    if name not in BUILT_IN:
        return _load_brought(name)
    with quietly():
        try:
            module = importlib.import_module(f"{__name__}.{name}_")
        except ModuleNotFoundError as error:
            if error.name == "distutils":
                raise MeasurementError(
                    f"{name} imports distutils, which this version of Python does not have; "
                    "pip install setuptools brings it back"
                ) from None
            raise MeasurementError(
                f'the counter "{name}" needs {error.name}, which is not installed; pip install {name}'
            ) from None
    counter: Counter = module.COUNTER
    return counter


def _load_brought(name: str) -> Counter:
    entry = brought()[name]
    whose = f'the counter "{name}" of {entry.dist.name if entry.dist else entry.value}'
    try:
        with quietly():
            found = entry.load()
    except Exception as error:
        raise MeasurementError(f"{whose} cannot be loaded: {type(error).__name__}: {error}") from error
    if not isinstance(found, Counter):
        raise MeasurementError(f"{whose} gives {shown(found)}, and no pytest_modelbudget.engine.counters.Counter")
    return found


@contextlib.contextmanager
def quietly() -> Iterator[io.StringIO]:
    """Keep what a tool prints, warns of and logs out of the user's report; gives what it printed."""
    level = logging.root.manager.disable
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        logging.disable(logging.CRITICAL)
        try:
            yield printed
        finally:
            logging.disable(level)


@contextlib.contextmanager
def unpatched() -> Iterator[None]:
    """Put back every function of PyTorch that the body replaces, also after an exception."""
    owners: tuple[Any, ...] = (torch, torch.Tensor, nn.functional)
    kept = [dict(vars(owner)) for owner in owners]
    try:
        yield
    finally:
        for owner, before in zip(owners, kept, strict=True):
            for name, value in dict(vars(owner)).items():
                if name not in before:
                    if callable(value):
                        delattr(owner, name)
                elif before[name] is not value:
                    setattr(owner, name, before[name])


def settled(exact: Mapping[str, float], total: float) -> dict[str, int]:
    """Counts as whole numbers that add up to the tool's total; what rounding leaves over is the model's own."""
    whole = {name: int(count) for name, count in exact.items()}
    whole[""] = whole.get("", 0) + int(total) - sum(whole.values())
    return whole


def by_rule(exact: Mapping[str, float], total: float) -> dict[str, dict[str, int]]:
    """The parts of counts that come of rules for modules, and of rounding them."""
    parts = {name: {RULE: int(count)} for name, count in exact.items() if int(count)}
    rest = int(total) - sum(map(int, exact.values()))
    if rest:
        parts.setdefault("", {})[ROUNDING] = rest
    return parts


def positional(tool: str, model: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> tuple[Any, ...]:
    """All arguments of a call as positional ones, for tools that know no others.

    Raises:
        MeasurementError: one can be given by its name only, or those before it are not given.
    """
    if not kwargs:
        return args
    import inspect

    bound = inspect.signature(model.forward).bind(*args, **kwargs)
    if bound.kwargs:
        raise MeasurementError(
            f"{tool} calls a model with positional arguments alone, and {', '.join(bound.kwargs)} cannot be given so",
            "inputs",
        )
    return bound.args


def unruled(modules: Mapping[str, nn.Module], has_rule: Callable[[nn.Module], bool]) -> dict[str, dict[str, int]]:
    """The modules without children for which a tool has no rule."""
    return {
        name: {type(module).__name__: 1}
        for name, module in modules.items()
        if not module._modules and not has_rule(module)
    }
