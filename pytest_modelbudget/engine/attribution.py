"""Which module an operation belongs to: the innermost one whose forward is running.

A module that several parents hold is named as the caller holds it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import torch
from torch import nn

from pytest_modelbudget.engine.abstract import AbstractTensor
from pytest_modelbudget.engine.layer_work import Row
from pytest_modelbudget.engine.recorder import Recorder


def _name(name: str, module: nn.Module, modules: dict[str, nn.Module]) -> None:
    """Put a module and those below it into ``modules``, each under every name by which it is held."""
    modules[name] = module
    prefix = f"{name}." if name else ""
    for child_name, child in module._modules.items():
        if child is not None:
            _name(prefix + child_name, child, modules)


class Attribution:
    """The rows of a model, and the watch on its modules that fills them.

    Attributes:
        rows: qualified name to row, parents first, in the order of definition.
        modules: qualified name to module.
    """

    def __init__(self, root: nn.Module) -> None:
        self.modules: dict[str, nn.Module] = {}
        _name("", root, self.modules)
        self.rows = {name: Row(name) for name in self.modules}
        self._names: dict[int, list[str]] = {}
        for name, module in self.modules.items():
            self._names.setdefault(id(module), []).append(name)

    def watch(self, recorder: Recorder) -> None:
        """Have each module's forward say to ``recorder`` when it starts and ends. The modules are changed."""
        for name, module in self.modules.items():
            names = self._names[id(module)]
            if names[0] == name:
                _watch_forward(module, [self.rows[each] for each in names], recorder)

    def unwatch(self) -> None:
        """Take the watch away, and with it the reference cycle that it made."""
        for module in self.modules.values():
            module.__dict__.pop("forward", None)

    def may_run_unseen(self) -> bool:
        """Whether there are modules without tensors, so that no operation tells which of two like them ran."""
        return any(map(_can_run_unseen, self.modules.values()))

    def is_first(self, name: str) -> bool:
        """Whether ``name`` is the first of its module's names."""
        return self._names[id(self.modules[name])][0] == name


def _can_run_unseen(module: nn.Module) -> bool:
    """Whether a module has a forward that is not PyTorch's, and no tensor that would tell of its run."""
    if module._parameters or type(module).__module__.startswith("torch.nn."):
        return False
    home = getattr(type(module).forward, "__module__", None) or ""
    if home.startswith("torch."):
        return False
    return next(module.parameters(), None) is None and next(module.buffers(), None) is None


def _watch_forward(module: nn.Module, rows: list[Row], recorder: Recorder) -> None:
    forward = module.forward
    memory = recorder.memory

    def watched(*args: Any, **kwargs: Any) -> Any:
        caller = recorder.row
        row = rows[0] if len(rows) == 1 else _as_held_by(caller.name, rows)
        recorder.row = row
        row.calls += 1
        if row.calls == 1:
            row.input_shape = first_shape(args) or first_shape(kwargs)
        outer = memory.open_window()
        try:
            out = forward(*args, **kwargs)
        except BaseException as error:
            recorder.note_failure(row, error)
            raise
        finally:
            row.peak_memory = max(row.peak_memory, memory.close_window(outer))
            recorder.row = caller
        if row.output_shape is None:
            row.output_shape = first_shape(out)
        return out

    watched.__wrapped__ = forward  # type: ignore[attr-defined]  # where `inspect.signature` looks
    module.__dict__["forward"] = watched


def _as_held_by(caller: str, rows: list[Row]) -> Row:
    """The row whose name goes on from the caller's; the first one where none does."""
    prefix = f"{caller}." if caller else ""
    inside = [row for row in rows if row.name.startswith(prefix)]
    return inside[0] if inside else rows[0]


def first_shape(value: Any) -> tuple[int, ...] | None:
    """The shape of the first tensor in a nested value, or None."""
    if isinstance(value, tuple) and value and type(value[0]) is AbstractTensor:
        return value[0].description.shape
    return next(_shapes(value), None)


def _shapes(value: Any) -> Iterator[tuple[int, ...]]:
    if isinstance(value, torch.Tensor):
        # A jagged dimension has no one size.
        yield tuple(size if isinstance(size, int) else -1 for size in value.shape)
        return
    parts: Iterable[Any]
    if isinstance(value, dict):
        parts = value.values()
    elif isinstance(value, list | tuple):
        parts = value
    elif hasattr(value, "__dataclass_fields__"):
        parts = vars(value).values()
    else:
        return
    for part in parts:
        yield from _shapes(part)
