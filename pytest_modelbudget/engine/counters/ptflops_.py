"""ptflops: counts by hooks on modules and by patched functions, for one image of the batch."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from ptflops import get_model_complexity_info, pytorch_engine
from ptflops.pytorch_engine import is_supported_instance
from torch import nn

from pytest_modelbudget.engine.counters import Counter, Tally, by_rule, positional, settled, unruled
from pytest_modelbudget.errors import MeasurementError
from pytest_modelbudget.profile.crosscheck import FUNCTIONS


class _AtItsPrinting(io.StringIO):
    """A stream that reads the counts of the modules when ptflops prints them, the one moment at which it has them."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self._model = model
        self.whole: dict[str, float] = {}
        self.batch = 1

    def write(self, text: str) -> int:
        self.batch = getattr(self._model, "__batch_counter__", 0) or 1
        self.whole = self.whole or dict(_walk("", self._model))
        return len(text)


@contextlib.contextmanager
def _functions(model: nn.Module) -> Iterator[dict[str, dict[str, int]]]:
    """What ptflops counts of functions, by the module that calls them; it adds them up without saying where.

    Where a version of it counts them in another way, nothing is found.
    """
    found: dict[str, dict[str, int]] = {}
    running = [""]
    original: Any = getattr(pytorch_engine, "torch_function_wrapper", None)
    if original is None:
        yield found
        return

    class Noting(original):  # type: ignore[misc]
        def __call__(self, *args: Any, **kwargs: Any) -> Any:
            own = len(self.collector)
            result = super().__call__(*args, **kwargs)
            here, name = found.setdefault(running[-1], {}), getattr(self.op, "__name__", "a function")
            here[name] = here.get(name, 0) + int(self.collector[own])
            return result

    def enter(name: str) -> Callable[..., None]:
        return lambda *_: running.append(name)

    def leave(*_: object) -> None:
        running.pop()

    for name, module in model.named_modules():
        if isinstance(module, torch.jit.ScriptModule):
            continue
        module.register_forward_pre_hook(enter(name))
        module.register_forward_hook(leave, always_call=True)
    pytorch_engine.torch_function_wrapper = Noting
    try:
        yield found
    finally:
        pytorch_engine.torch_function_wrapper = original


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
    with _functions(model) as functions:
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
    each = {name: flops / printing.batch for name, flops in printing.whole.items()}
    return Tally(settled(each, total), unseen, _parts(printing, functions, int(total)))


def _parts(
    printing: _AtItsPrinting, functions: Mapping[str, Mapping[str, int]], total: int
) -> dict[str, dict[str, int]]:
    parts = by_rule(printing.whole, sum(printing.whole.values()))
    for name, counts in functions.items():
        parts[name] = {**parts.get(name, {}), **counts}
    # It counts functions for the whole batch, and modules for one image of it.
    found = sum(sum(counts.values()) for counts in functions.values())
    elsewhere = total - int(sum(printing.whole.values()) / printing.batch + found)
    if elsewhere:
        parts[""] = {**parts.get("", {}), FUNCTIONS: elsewhere}
    return parts


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


COUNTER = Counter("ptflops", _count)
