"""The forward pass: every operation seen, counted, and put to the module that runs it."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from pytest_modelbudget.engine import higher_order, nested
from pytest_modelbudget.engine.abstract import OWN_TYPES, AbstractTensor, NeedsValuesError
from pytest_modelbudget.engine.complex_convolution import VIEW_AS_REAL, ComplexConvolutions
from pytest_modelbudget.engine.draws import Draws, is_random
from pytest_modelbudget.engine.formulas import formula_of, packet_of
from pytest_modelbudget.engine.free import is_free
from pytest_modelbudget.engine.layer_work import Row
from pytest_modelbudget.engine.limits import FIRST, Limits
from pytest_modelbudget.engine.memory import Memory
from pytest_modelbudget.engine.onednn import usual_kernels
from pytest_modelbudget.engine.originals import Originals, OriginalUsedError
from pytest_modelbudget.engine.propagate import Propagation, signature
from pytest_modelbudget.engine.unknown import UNREADABLE


class Recorder(TorchDispatchMode):
    """Counts MACs, activations and bytes alive while the calls under it run.

    Under ``abstract`` calls on abstract tensors are propagated without computing; calls on real tensors run as usual.

    Attributes:
        memory: bytes alive.
        row: the row of the innermost module whose forward is running.
        failed_in: the row of the innermost module whose forward the last exception came out of.
        propagation: what moves abstract tensors, or None in a real run.
        originals: what belongs to the model that was given, and is not to be used.
        met_other_kinds: whether tensors came that wrap others (jagged, distributed ones) and so move in their own way.
        is_settled: whether the run left nothing behind that another run would not find; see `Settling`.

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
        self.originals = Originals()
        if self.propagation is not None:
            self.propagation.before_first = self.originals.refuse
        self._draws = Draws()
        self._counting = counting
        self._costs: dict[Any, tuple[int, int, str]] = {}
        self._complex = ComplexConvolutions()
        self._kinds: dict[Any, tuple[bool | str, bool, bool]] = {}
        self.met_other_kinds = False
        self.is_settled = True

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
            return self._call_other_kind(func, args, kwargs or {})
        kwargs = kwargs or {}
        if isinstance(func, torch._ops.HigherOrderOperator):
            return self._call_higher_order(func, args, kwargs)
        kind = self._kinds.get(func)
        if kind is None:
            kind = self._kinds[func] = self._kind_of(func)
        counted, draws, writes = kind
        if draws:
            kwargs = self._draws.before(kwargs)
        if not self._counting:
            return func(*args, **kwargs) if self.propagation is None else self.propagation.call(func, args, kwargs)[1]
        if writes and args and type(args[0]) is not AbstractTensor:
            self.originals.refuse_write(args[0], self.memory)
        if self.propagation is None:
            return self._compute(func, args, kwargs, counted)
        if counted is _BY_ITS_PARTS:
            return self._by_its_parts(func, args, kwargs)
        key, out = self.propagation.call(func, args, kwargs)
        if counted:
            self._count(func, key, args, kwargs, out)
        return out

    def _call_other_kind(self, func: Any, args: Any, kwargs: Any) -> Any:
        """A tensor of another kind takes itself apart, and then its parts come here."""
        self.met_other_kinds = True
        if self.propagation is None and not self._counting:
            return func(*args, **kwargs)  # what builds a model may trace or distribute it
        return NotImplemented

    def _by_its_parts(self, func: Any, args: Any, kwargs: Any) -> Any:
        with self:
            return func.decompose(*args, **kwargs)

    def _compute(self, func: Any, args: Any, kwargs: Any, counted: bool | str) -> Any:
        """Run an operation on real tensors."""
        is_nested = bool(counted) and nested.is_among(args)
        if counted is _BY_ITS_PARTS and not is_nested:
            return self._by_its_parts(func, args, kwargs)
        self.originals.refuse(args)
        with usual_kernels():
            out = func(*args, **kwargs)
        self._hold(out)
        if is_nested:
            macs = nested.macs_of(func, args)
            if macs is not None:
                self._add(macs, _elements(out), str(packet_of(func)))
        elif counted:
            self._count(func, (func, signature(args), signature(kwargs)), args, kwargs, out, depth=3)
        return out

    def _kind_of(self, func: Any) -> tuple[bool | str, bool, bool]:
        """Whether an operation is counted, draws random numbers, and writes to an argument."""
        # An operation that is looked at twice, before it is known to be free.
        counted = func is VIEW_AS_REAL or _is_counted(func)
        return self._counting and counted, is_random(func), func._schema.is_mutable

    def _call_higher_order(self, func: Any, args: Any, kwargs: Any) -> Any:
        out = higher_order.call(self, func, args, kwargs)
        if self.propagation is None:
            self._hold(out)
        if formula_of(func) is not None:
            self._count(func, (func, signature(args[:3])), args, kwargs, out)
        return out

    def _count(self, func: Any, key: Any, args: Any, kwargs: Any, out: Any, depth: int = 2) -> None:
        """Add what one call costs; ``depth`` is how many frames up it was called from."""
        if self._complex.has_begun or func is VIEW_AS_REAL:
            caller = sys._getframe(depth)
            if func is VIEW_AS_REAL:
                self._complex.note_view(caller, args[0])
                return
            if self._complex.is_further_part(caller, func, args):
                return
        cost = self._costs.get(key)
        if cost is None:
            formula = formula_of(func)
            if formula is None:
                operation = str(packet_of(func))
                self.row.uncounted[operation] = self.row.uncounted.get(operation, 0) + 1
                return
            operation = str(packet_of(func))
            others = {name: value for name, value in kwargs.items() if name not in _written(func)}
            cost = self._costs[key] = (int(formula(*args, out=out, **others)), _elements(out), operation)
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
    if recorder.propagation is None or isinstance(error, OriginalUsedError):
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


def _written(func: Any) -> set[str]:
    """The keyword arguments that an operation writes its results into."""
    schema = getattr(func, "_schema", None)  # an operation of higher order has none
    if schema is None:
        return set()
    return {each.name for each in schema.arguments if each.kwarg_only and each.alias_info and each.alias_info.is_write}


def _elements(out: Any) -> int:
    return sum(tensor.numel() for tensor in _tensors(out))
