"""The forward pass: every operation seen, counted, and put to the module that runs it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from pytest_modelbudget.measure import higher_order, nested
from pytest_modelbudget.measure.abstract import OWN_TYPES, NeedsValuesError
from pytest_modelbudget.measure.formulas import formula_of, packet_of
from pytest_modelbudget.measure.free import is_free
from pytest_modelbudget.measure.limits import FIRST, Limits
from pytest_modelbudget.measure.memory import Memory
from pytest_modelbudget.measure.propagate import Propagation, signature
from pytest_modelbudget.measure.row import Row
from pytest_modelbudget.measure.unknown import UNREADABLE


class Recorder(TorchDispatchMode):
    """Counts MACs, activations and bytes alive while the calls under it run.

    Under ``abstract`` calls on abstract tensors are propagated without computing; calls on real tensors run as usual.

    Attributes:
        memory: bytes alive.
        row: the row of the innermost module whose forward is running.
        failed_in: the row of the innermost module whose forward the last exception came out of.
        propagation: what moves abstract tensors, or None in a real run.
        met_other_kinds: whether tensors came that wrap others (jagged, distributed ones) and so move in their own way.

    Args:
        abstract: whether abstract tensors may come; else every operation runs as usual.
        limits: up to where tensors stay real in an abstract run, so that a model can look at them.
        counting: whether anything is counted; not while a model is built.
    """

    def __init__(self, *, abstract: bool, limits: Limits = FIRST, counting: bool = True) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.memory = Memory()
        self.row = Row("")
        self.failed_in = self.row
        self._failure: BaseException | None = None
        self.propagation = Propagation(self.memory if counting else None, limits) if abstract else None
        self._counting = counting
        self._costs: dict[Any, tuple[int, int, str]] = {}
        self._counted: dict[Any, bool | str] = {}
        self.met_other_kinds = False

    # PyTorch asks for this before it hands over operations that take functions.
    supports_higher_order_operators = True

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """Not to be wrapped, which takes longer than an operation here; `without_compiler` keeps the compiler out."""
        return False

    @property
    def needed(self) -> list[str]:
        """The operations that asked for elements that were not there."""
        return self.propagation.needed if self.propagation is not None else []

    def note_failure(self, row: Row, error: BaseException) -> None:
        """Remember the innermost module that an exception comes out of; it is told of by the outer ones too."""
        if error is not self._failure:
            self._failure, self.failed_in = error, row

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if not OWN_TYPES.issuperset(types):
            self.met_other_kinds = True
            return NotImplemented  # a tensor of another kind takes itself apart, and then its parts come here
        kwargs = kwargs or {}
        if isinstance(func, torch._ops.HigherOrderOperator):
            return self._call_higher_order(func, args, kwargs)
        if not self._counting and self.propagation is not None:
            return self.propagation.call(func, args, kwargs)[1]
        counted = self._counted.get(func)
        if counted is None:
            counted = self._counted[func] = _is_counted(func)
        if counted and self.propagation is None and nested.is_among(args):
            return self._call_nested(func, args, kwargs)
        if counted is _BY_ITS_PARTS:
            with self:
                return func.decompose(*args, **kwargs)
        if self.propagation is None:
            return self._call_real(func, args, kwargs, counted)
        key, out = self.propagation.call(func, args, kwargs)
        if counted:
            self._count(func, key, args, kwargs, out)
        return out

    def _call_real(self, func: Any, args: Any, kwargs: Any, counted: bool | str) -> Any:
        out = func(*args, **kwargs)
        results = _results(func, out)
        self._hold(results)
        if counted:
            self._count(func, (func, signature(args), signature(kwargs)), args, kwargs, results)
        return out

    def _call_higher_order(self, func: Any, args: Any, kwargs: Any) -> Any:
        out = higher_order.call(self, func, args, kwargs)
        if self.propagation is None:
            self._hold(out)
        if formula_of(func) is not None:
            self._count(func, (func, signature(args[:3])), args, kwargs, out)
        return out

    def _call_nested(self, func: Any, args: Any, kwargs: Any) -> Any:
        out = func(*args, **kwargs)
        self._hold(out)
        macs = nested.macs_of(func, args)
        if macs is not None:
            self._add(macs, _elements(out), str(packet_of(func)))
        return out

    def _count(self, func: Any, key: Any, args: Any, kwargs: Any, out: Any) -> None:
        cost = self._costs.get(key)
        if cost is None:
            formula = formula_of(func)
            if formula is None:
                operation = str(packet_of(func))
                self.row.uncounted[operation] = self.row.uncounted.get(operation, 0) + 1
                return
            operation = str(packet_of(func))
            cost = self._costs[key] = (int(formula(*args, out=out, **kwargs)), _elements(out), operation)
        self._add(*cost)

    def _add(self, macs: int, activations: int, operation: str) -> None:
        row = self.row
        row.macs += macs
        row.activations += activations
        row.operations[operation] = row.operations.get(operation, 0) + macs

    def _hold(self, out: Any) -> None:
        for tensor in _tensors(out):
            self.memory.hold_real(tensor)


_READ_WITHOUT_OPERATION = (
    *("tensor subclass", "AbstractTensor", "invalid python storage"),
    *UNREADABLE,
)
_BY_ITS_PARTS = "by its parts"


def _is_counted(func: Any) -> bool | str:
    """Whether an operation has a formula or needs one; or whether it is to be taken apart first.

    In inference mode those operations come here, too, that PyTorch makes of others.
    """
    if formula_of(func) is not None:
        return True
    if torch._C._dispatch_has_kernel_for_dispatch_key(func.name(), torch._C.DispatchKey.CompositeImplicitAutograd):
        return _BY_ITS_PARTS
    return not is_free(func)


def needs_values(recorder: Recorder, error: BaseException | None) -> bool:
    """Whether a failing abstract run may succeed on real tensors.

    It asked for elements, or for a missing kernel, or met tensors of a kind that may expect real ones within.
    """
    if recorder.propagation is None:
        return False
    if recorder.needed or recorder.met_other_kinds or isinstance(error, NeedsValuesError):
        return True
    if isinstance(error, NotImplementedError):  # of a kernel, not of a module without a forward
        return 'missing the required "forward"' not in str(error)
    # Raised by PyTorch itself where elements are read without an operation (`.tolist()`, `.numpy()`).
    return any(words in str(error) for words in _READ_WITHOUT_OPERATION)


def _tensors(value: Any) -> Iterable[torch.Tensor]:
    if isinstance(value, torch.Tensor):
        yield value
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _tensors(item)


def _results(func: Any, out: Any) -> Any:
    """What an operation gives, without the workspace of oneDNN's recurrent layers: its size is the machine's affair."""
    return out[:3] if func is torch.ops.aten.mkldnn_rnn_layer.default else out


def _elements(out: Any) -> int:
    return sum(tensor.numel() for tensor in _tensors(out))
