"""The model that was given, while a copy of it runs: what of it the copy may not use, and how it is put back.

A copy can still reach the original: through a global name, a closure of its class, or an object that cannot be copied.
The first operation on one of the original's tensors stops the run, before anything is written.
"""

from __future__ import annotations

import gc
import sys
import threading
import weakref
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import nn

from pytest_modelbudget.engine.abstract import AbstractTensor, GivenDescription
from pytest_modelbudget.engine.memory import Memory

_OURS = str(Path(__file__).parent)
_PYTORCH = str(Path(torch.__file__).parent)


class OriginalUsedError(RuntimeError):
    """A forward pass reached past the copy that it runs on.

    Attributes:
        identity: of the tensor or module that it reached.
        place: where, to be put after what says that it did.
    """

    def __init__(self, identity: int, place: str) -> None:
        super().__init__(f"the model that was given is used{place}")
        self.identity = identity
        self.place = place


class OutsideWrittenError(RuntimeError):
    """A forward pass writes to what is neither the model's nor its own."""


class Originals:
    """What belongs to the model that was given.

    Attributes:
        storages: of its tensors; of those without a storage, the tensors themselves.
        modules: its modules, by id.
        copies: the modules of its copy, by id.
        used: where the copy's forward pass used one of them, or None. A model may have caught the error.
        outside: where it writes to a module that is no part of the model, or None.
    """

    def __init__(self) -> None:
        self.storages: set[int] = set()
        self.modules: set[int] = set()
        self.copies: set[int] = set()
        self.outside: str | None = None
        self._harmless: set[int] = set()
        self.used: OriginalUsedError | None = None
        self._before: list[tuple[Any, Any]] = []

    def note(self, container: Any, contents: Any) -> None:
        """Remember what a dict, list, set or deque of the model holds, to put it back should the model run itself."""
        self._before.append((container, contents))

    def put_back(self) -> None:
        """Give every container that was noted its contents again."""
        for container, contents in self._before:
            container.clear()
            if isinstance(container, list | deque):
                container.extend(contents)
            else:
                container.update(contents)

    def refuse(self, values: Iterable[Any]) -> None:
        """Stop where one of the arguments of an operation is a tensor of the model.

        Raises:
            OriginalUsedError: one is.
        """
        for value in values:
            if isinstance(value, torch.Tensor):
                if self._has(value):
                    raise self._error(value)
            elif isinstance(value, list | tuple):
                self.refuse(value)

    def refuse_write(self, tensor: Any, memory: Memory) -> None:
        """Stop where an operation writes to a module that is no part of the model, reached through a global name.

        Args:
            tensor: what it writes to.
            memory: knows the tensors of the copy, and those that were made since.

        Raises:
            OutsideWrittenError: it does.
        """
        if not isinstance(tensor, torch.Tensor) or tensor.layout is not torch.strided or memory.holds_real(tensor):
            return
        identity = identity_of(tensor)
        if identity in self._harmless:
            return
        for name, module in _holders(tensor):
            if id(module) not in self.copies:
                self.outside = f'"{name}" of a {type(module).__name__} that is no part of the model{_place()}'
                raise OutsideWrittenError(f"the forward pass writes to {self.outside}")
        # Not the tensor: it would live, and count, as long as this does.
        self._harmless.add(identity)
        weakref.finalize(tensor.untyped_storage(), self._harmless.discard, identity)

    def _has(self, tensor: torch.Tensor) -> bool:
        if type(tensor) is AbstractTensor:
            return type(tensor.description) is GivenDescription
        return identity_of(tensor) in self.storages

    @contextmanager
    def calls_refused(self) -> Iterator[None]:
        """Run the body, and stop where a module of the model is called.

        Raises:
            OriginalUsedError: one is.
        """
        thread = threading.get_ident()

        def refuse(module: nn.Module, _args: Any) -> None:
            if id(module) in self.modules and threading.get_ident() == thread:
                raise self._error(module)

        handle = nn.modules.module.register_module_forward_pre_hook(refuse)
        try:
            yield
        finally:
            handle.remove()

    def told(self, model: nn.Module) -> str:
        """What of the model was used, and where, for a message."""
        if self.used is None:
            return "nothing"
        what = "a tensor"
        for name, tensor in (*model.named_parameters(), *model.named_buffers()):
            if identity_of(tensor) == self.used.identity:
                what = f'the tensor "{name}"'
                break
        return f"{what} of the model that was given, not of its copy{self.used.place}"

    def _error(self, used: torch.Tensor | nn.Module) -> OriginalUsedError:
        if self.used is None:
            identity = identity_of(used) if isinstance(used, torch.Tensor) else id(used)
            self.used = OriginalUsedError(identity, _place())
        return self.used


def _holders(tensor: torch.Tensor) -> Iterator[tuple[str, nn.Module]]:
    """The modules that have a tensor as a parameter or a buffer, each with its name there. It takes a while."""
    for table in gc.get_referrers(tensor):
        if type(table) is dict:
            names = [name for name, value in table.items() if value is tensor and type(name) is str]
            for attributes in gc.get_referrers(table) if names else ():
                for holder in (
                    (attributes, *gc.get_referrers(attributes)) if type(attributes) is dict else (attributes,)
                ):
                    if isinstance(holder, nn.Module) and (table is holder._buffers or table is holder._parameters):
                        yield names[0], holder


def identity_of(tensor: torch.Tensor) -> int:
    """What is the same for tensors that share a storage."""
    if type(tensor) is AbstractTensor:
        return id(tensor.held)
    return tensor.untyped_storage()._cdata if tensor.layout is torch.strided else id(tensor)


def _place() -> str:
    """Where the user's code is: the innermost frame that is neither PyTorch's nor of this package."""
    frame: Any = sys._getframe(1)
    while frame is not None:
        code = frame.f_code
        if not code.co_filename.startswith((_OURS, _PYTORCH, "<")):
            return f", in {code.co_name} ({Path(code.co_filename).name}:{frame.f_lineno})"
        frame = frame.f_back
    return ""


EMPTY = object()


def contents_of(slot: Any, module: nn.Module) -> Any:
    """What a slot of a module's class holds; `EMPTY` where nothing was put in."""
    try:
        return slot.__get__(module)
    except AttributeError:
        return EMPTY


class Swap:
    """The modules of a model, each with what its copy would hold, for as long as they run themselves."""

    def __init__(self) -> None:
        self._contents: list[tuple[nn.Module, dict[str, Any]]] = []
        self._slots: list[tuple[Any, nn.Module, Any]] = []

    def add(self, module: nn.Module, contents: dict[str, Any]) -> None:
        """Have a module hold other attributes while it runs."""
        self._contents.append((module, contents))

    def add_slot(self, module: nn.Module, slot: Any, contents: Any) -> None:
        """Have a slot of a module's class hold something else while it runs."""
        self._slots.append((slot, module, contents))

    @contextmanager
    def running(self) -> Iterator[None]:
        """Give the modules what was added; then the very dicts that they had."""
        own = [(module, module.__dict__) for module, _ in self._contents]
        own_slots = [(slot, module, contents_of(slot, module)) for slot, module, _ in self._slots]
        try:
            for module, contents in self._contents:
                object.__setattr__(module, "__dict__", contents)
            for slot, module, held in self._slots:
                slot.__set__(module, held)
            yield
        finally:
            for module, contents in own:
                object.__setattr__(module, "__dict__", contents)
            for slot, module, held in own_slots:
                slot.__set__(module, held)
