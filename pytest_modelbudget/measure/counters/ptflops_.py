"""ptflops: counts by hooks on modules and by patched functions, for one image of the batch."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any

from ptflops import get_model_complexity_info
from ptflops.pytorch_engine import is_supported_instance
from torch import nn

from pytest_modelbudget.errors import MeasurementError
from pytest_modelbudget.measure.counters import Tally, Tool, positional, settled, unruled


class _AtItsPrinting(io.StringIO):
    """A stream that reads the counts of the modules when ptflops prints them, the one moment at which it has them."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self._model = model
        self.counts: dict[str, float] = {}

    def write(self, text: str) -> int:
        batch = getattr(self._model, "__batch_counter__", 0) or 1
        self.counts = self.counts or {name: flops / batch for name, flops in _walk("", self._model)}
        return len(text)


def _walk(name: str, module: nn.Module) -> Iterator[tuple[str, float]]:
    """Modules and their counts, as ptflops adds them up: it does not look into a module that it knows."""
    if is_supported_instance(module):
        yield name, float(getattr(module, "__flops__", 0))
        return
    for key, child in module.named_children():
        yield from _walk(f"{name}.{key}" if name else key, child)


def _count(model: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Tally:
    inputs = _as_it_takes_them(model, args, kwargs)
    printing = _AtItsPrinting(model)
    unseen = unruled(dict(model.named_modules()), is_supported_instance)
    total, _ = get_model_complexity_info(
        model,
        (1,),
        as_strings=False,
        print_per_layer_stat=True,
        input_constructor=lambda _: inputs,
        ost=printing,
        verbose=False,
    )
    if total is None:
        raise MeasurementError("ptflops could not run the model", "inputs")
    return Tally(settled(printing.counts, total), unseen)


def _as_it_takes_them(model: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """One positional argument, or keyword arguments."""
    if len(args) == 1 and not kwargs and not isinstance(args[0], dict):
        return args[0]
    if not args:
        return kwargs
    import inspect

    bound = inspect.signature(model.forward).bind(*args, **kwargs)
    if bound.args and len(bound.args) != len(bound.arguments):
        positional("ptflops", model, args, kwargs)
    return dict(bound.arguments)


TOOL = Tool("ptflops", _count)
