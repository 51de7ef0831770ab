"""How abstract tensors move through an operation.

An operation on the same argument descriptions gives the same result descriptions, so each is worked out once, on
PyTorch's meta device, and remembered.
"""

from __future__ import annotations

import math
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch

from pytest_modelbudget.measure.abstract import (
    AbstractTensor,
    Description,
    can_be_abstract,
    describe_tensor,
    make,
    view,
)
from pytest_modelbudget.measure.memory import Memory, Storage
from pytest_modelbudget.measure.results import Alias, New, Return, remember_all
from pytest_modelbudget.measure.shapes import BY_HAND, RULES

aten = torch.ops.aten

# A factory's floating-point result of at most this many elements is real, since models compute with small tensors
# (drop-path rates, anchor sizes) whose values they then look at.
SMALL = 4096

# What is computed of small ones may grow (a mask of all pairs of positions), and stays real up to this many elements:
# beyond it PyTorch computes in several threads.
LARGE = 32_768

# Both limits in a second run, after a first one in which the model looked at what had been left abstract.
PATIENT = 1 << 24

_META = torch.device("meta")
_CPU = torch.device("cpu")
_DISTRIBUTIONS = str(Path(torch.distributions.__file__).parent)

# From a dispatched operation to the Python code that called it are our frames and a few of PyTorch's.
_FRAMES_TO_CALLER = 12


class NeedsValuesError(RuntimeError):
    """The forward pass looks at the elements of a tensor that has none."""


# Results that depend on elements; with abstract arguments there is nothing to look at.
_READS_VALUES = (torch.Tag.data_dependent_output, torch.Tag.dynamic_output_shape)

# These change the shape of their argument too, though PyTorch does not tag them `inplace_view`.
_RESIZES = {aten.resize_, aten.resize_as_, aten.set_}

# Has a `device` argument, and is no factory: its elements are those of its argument.
_NOT_FACTORIES = {aten._to_copy, aten.to}


def signature(value: Any) -> Any:
    """A hashable stand-in for an argument: equal for arguments that give the same shapes and costs."""
    kind = type(value)
    if kind is AbstractTensor:
        return value.description
    if kind is int or kind is str or value is None:
        return value
    if kind is float or kind is bool:
        return kind, value  # True == 1 == 1.0, yet they promote a dtype differently
    if (kind is list or kind is tuple) and value and type(value[0]) is int:
        return tuple(value)  # sizes, strides: lists have elements of one kind
    if kind is list or kind is tuple:
        return tuple([signature(item) for item in value])
    if kind is dict:
        return tuple([(key, signature(item)) for key, item in value.items()])
    if isinstance(value, torch.Tensor):
        if value.layout is torch.strided:
            return describe_tensor(value), value.is_quantized
        return value.layout, tuple(value.shape), value.dtype, value.device
    return value


class _Plan:
    """What an overload's schema says of its arguments and results."""

    __slots__ = ("is_factory", "is_in_place", "reads_values", "reshapes", "returns", "takes_device")

    def __init__(self, func: Any) -> None:
        schema = func._schema
        packet = func.overloadpacket
        arguments = schema.arguments
        by_alias_set: dict[str, int | str] = {}
        for position, argument in enumerate(arguments):
            if argument.alias_info is not None:
                where = argument.name if argument.kwarg_only else position
                for name in argument.alias_info.before_set:
                    by_alias_set[name] = where
        self.is_in_place = any(a.alias_info is not None and a.alias_info.is_write for a in arguments)
        self.takes_device = any(a.name == "device" for a in arguments)
        # One that is given tensors (the bounds of `linspace`) has elements that depend on theirs.
        takes_values = any(str(a.type).startswith("Tensor") and a.name != "self" for a in arguments)
        self.is_factory = self.takes_device and packet not in _NOT_FACTORIES and not takes_values
        self.reads_values = any(tag in func.tags for tag in _READS_VALUES)
        self.reshapes = self.is_in_place and (torch.Tag.inplace_view in func.tags or packet in _RESIZES)
        # For each result: the argument whose storage it shares, or None; and whether it is that very tensor.
        self.returns: list[Return] = []
        for result in schema.returns:
            info = result.alias_info
            names = [name for name in info.before_set if name in by_alias_set] if info is not None else []
            self.returns.append((by_alias_set[names[0]] if names else None, bool(info and info.is_write)))


class Propagation:
    """Runs operations on abstract tensors; one for each measurement.

    Attributes:
        needed: the operations that asked for elements (a model may have caught the `NeedsValuesError`).
    """

    def __init__(self, memory: Memory | None, *, patient: bool = False) -> None:
        self._largest_made = PATIENT if patient else SMALL
        self._largest_computed = PATIENT if patient else LARGE
        self.needed: list[str] = []
        self._memory = memory
        self._plans: dict[Any, _Plan] = {}
        self._results: dict[Any, Any] = {}
        self._small: set[Any] = set()  # calls on real tensors whose results are known to be small
        # Real tensors that abstract ones were written into, by storage: their elements mean nothing any more.
        self._overwritten: dict[int, torch.UntypedStorage] = {}

    def call(self, func: Any, args: Any, kwargs: Any) -> tuple[Any, Any]:
        """Run one operation.

        Returns:
            a key that is equal for calls with the same argument descriptions, and the operation's result.

        Raises:
            NeedsValuesError: the result depends on elements that are not there.
        """
        parts: list[Any] = [func]
        parts += [arg.description if type(arg) is AbstractTensor else signature(arg) for arg in args]
        if kwargs:
            parts.append(signature(kwargs))
        key = tuple(parts)
        remembered = self._results.get(key)
        if remembered is not None:
            return key, self._build(remembered, args, kwargs)
        plan = self._plans.get(func)
        if plan is None:
            plan = self._plans[func] = _Plan(func)
        if plan.is_factory:
            return key, self._create(func, plan, key, args, kwargs)
        if self._is_abstract(args) or self._is_abstract(kwargs):
            return key, self._propagate(func, plan, key, args, kwargs)
        if self._becomes_large(func, plan, key, args, kwargs):
            return key, self._propagate(func, plan, key, args, kwargs)
        return key, self._compute(func, plan, args, kwargs)

    def _becomes_large(self, func: Any, plan: _Plan, key: Any, args: Any, kwargs: Any) -> bool:
        """Whether a new floating-point result of real arguments is so large that it is left abstract."""
        if plan.is_in_place or plan.reads_values or any(where is not None for where, _ in plan.returns):
            return False
        # Two small arguments may meet element by element, in a broadcast or a product.
        most = math.prod(tensor.numel() for tensor in args if isinstance(tensor, torch.Tensor))
        if most <= LARGE or key in self._small:
            return False
        try:
            sample = self._on_meta(func, _map(stand_in, args), _map(stand_in, kwargs))
        except (RuntimeError, NotImplementedError):  # on real tensors it may be known
            return False
        if isinstance(sample, torch.Tensor) and can_be_abstract(sample) and sample.numel() > self._largest_computed:
            return True
        self._small.add(key)
        return False

    def _is_abstract(self, value: Any) -> bool:
        if isinstance(value, torch.Tensor):
            if type(value) is AbstractTensor:
                return True
            return bool(self._overwritten) and value.untyped_storage()._cdata in self._overwritten
        if isinstance(value, list | tuple):
            return any(self._is_abstract(item) for item in value)
        if isinstance(value, dict):
            return any(self._is_abstract(item) for item in value.values())
        return False

    def _compute(self, func: Any, plan: _Plan, args: Any, kwargs: Any) -> Any:
        """Run on real tensors."""
        out = func(*args, **kwargs)
        if not plan.is_in_place and self._memory is not None:
            for tensor in out if isinstance(out, list | tuple) else (out,):
                if isinstance(tensor, torch.Tensor) and tensor.layout is torch.strided and not tensor.is_meta:
                    self._memory.hold_real(tensor)
        return out

    def _create(self, func: Any, plan: _Plan, key: Any, args: Any, kwargs: Any) -> Any:
        """Run a factory: its result's elements depend on no tensor's elements, so it is real where it is small."""
        if "device" in kwargs:
            kwargs = kwargs | {"device": _device(args, kwargs)}
        if key not in self._small:
            sample = self._on_meta(func, _map(stand_in, args), _map(stand_in, kwargs))
            if isinstance(sample, torch.Tensor) and can_be_abstract(sample) and sample.numel() > self._largest_made:
                description = describe_tensor(sample, _device(args, kwargs))
                self._results[key] = New(description, description.nbytes)
                return self.make(description)
            self._small.add(key)
        return self._compute(func, plan, _map(_blank, args), _map(_blank, kwargs))

    def _propagate(self, func: Any, plan: _Plan, key: Any, args: Any, kwargs: Any) -> Any:
        by_hand = BY_HAND.get(func)
        if by_hand is not None:
            return by_hand(self.make, *args, **kwargs)
        if plan.reads_values:
            answer = _known_answer(func, args)
            if answer is not None:
                return answer
            args = self._with_indices(func, args)
        meta_args, meta_kwargs = _map(stand_in, args), _map(stand_in, kwargs)
        out = self._checked_on_meta(func, meta_args, meta_kwargs, args, kwargs)
        device = _device(args, kwargs)
        if plan.is_in_place:
            self._mark_overwritten(plan, args, kwargs)
        if plan.reshapes:
            _reshape(args[0], meta_args[0])
            return args[0]
        if not plan.returns:
            return out
        remembered = remember_all(out, plan.returns, device, meta_args)
        if not plan.reads_values and not self._overwritten:
            self._results[key] = remembered
        return self._build(remembered, args, kwargs)

    def _on_meta(self, func: Any, args: Any, kwargs: Any) -> Any:
        """Run on tensors of the meta device."""
        if self._plans[func].takes_device:
            kwargs = {name: value for name, value in kwargs.items() if name != "pin_memory"} | {"device": _META}
        rule = RULES.get(func, func)
        try:
            return rule(*args, **kwargs)
        except RuntimeError as error:
            if "data-dependent" not in str(error):
                raise
            self.needed.append(str(func))
            raise NeedsValuesError(f"{func} gives a result whose shape depends on the elements of a tensor") from None

    def _checked_on_meta(self, func: Any, meta_args: Any, meta_kwargs: Any, args: Any, kwargs: Any) -> Any:
        """Run on tensors of the meta device; what it refuses is told of in the words of real tensors."""
        try:
            return self._on_meta(func, meta_args, meta_kwargs)
        except NeedsValuesError:
            raise
        except RuntimeError:
            if _is_onto_itself(func, args):
                return meta_args[0]
            _raise_as_on_real_tensors(func, args, kwargs)
            raise

    def make(self, description: Description, nbytes: int | None = None) -> AbstractTensor:
        """A result in a storage of its own, which may be larger than the result reaches."""
        return make(description, Storage(description.nbytes if nbytes is None else nbytes, self._memory))

    def _build(self, remembered: Any, args: Any, kwargs: Any) -> Any:
        """A new result from what was remembered of an earlier one."""
        kind = type(remembered)
        if kind is New:
            return self.make(remembered.description, remembered.nbytes)
        if kind is list or kind is tuple:
            return kind([self._build(item, args, kwargs) for item in remembered])
        if kind is Alias:
            where = remembered.where
            base = kwargs[where] if type(where) is str else args[where]
            if isinstance(base, list | tuple):
                return base
            if remembered.is_same:
                return base
            if type(base) is AbstractTensor:
                return view(remembered.description, base, remembered.mirrors)
            return make(remembered.description, Storage(0, None))
        return remembered.value

    def _with_indices(self, func: Any, args: Any) -> Any:
        """The arguments with real masks turned into the indices that they select, whose shapes are known."""
        if func.overloadpacket in (aten.index, aten._unsafe_index):
            tensor, indices = args
            if not any(
                self._is_abstract(index) and index.dtype is torch.bool for index in indices if index is not None
            ):
                return tensor, [part for index in indices for part in _as_indices(index)]
        self.needed.append(str(func))
        raise NeedsValuesError(f"{func} looks at the elements of a tensor")

    def _mark_overwritten(self, plan: _Plan, args: Any, kwargs: Any) -> None:
        for where, is_same in plan.returns:
            if where is not None and is_same:
                tensor = kwargs[where] if isinstance(where, str) else args[where]
                if isinstance(tensor, torch.Tensor) and type(tensor) is not AbstractTensor:
                    storage = tensor.untyped_storage()
                    self._overwritten[storage._cdata] = storage


def _map(change: Any, value: Any) -> Any:
    """``value`` with each tensor changed, through lists, tuples and dicts."""
    if isinstance(value, torch.Tensor):
        return change(value)
    if isinstance(value, list | tuple):
        return type(value)([_map(change, item) for item in value])
    if isinstance(value, dict):
        return {key: _map(change, item) for key, item in value.items()}
    return value


def stand_in(tensor: torch.Tensor) -> torch.Tensor:
    """A meta tensor of the same description."""
    if tensor.is_meta:
        return tensor
    if tensor.layout is not torch.strided:
        raise NeedsValuesError("an operation takes a sparse tensor, whose result depends on where its elements are")
    return torch.empty_strided(tensor.shape, tensor.stride(), dtype=tensor.dtype, device=_META)


def _blank(tensor: torch.Tensor) -> torch.Tensor:
    """A real tensor of the same shape, strides and dtype; a large one takes no memory, and has no strides to tell."""
    if type(tensor) is not AbstractTensor:
        return tensor
    description = tensor.description
    size = description.nbytes // description.dtype.itemsize
    if size <= PATIENT:
        flat = torch.empty(size, dtype=description.dtype, device=description.device)
        return flat.as_strided(description.shape, description.stride)
    return torch.empty((), dtype=tensor.dtype, device=tensor.device).expand(tensor.shape)


def _raise_as_on_real_tensors(func: Any, args: Any, kwargs: Any) -> None:
    """Raise what an operation says on real tensors of these shapes: words that users know, unlike the meta device's.

    Not where they are so many elements that it may take long, should the operation go through after all.
    """
    blanks = _map(_blank, args)
    if sum(blank.numel() for blank in blanks if isinstance(blank, torch.Tensor)) <= PATIENT:
        with suppress(NotImplementedError):
            func(*blanks, **_map(_blank, kwargs))


def _is_onto_itself(func: Any, args: Any) -> bool:
    """Whether a tensor is copied into one that it is a view of: `matmul` does where it finds no shared storage."""
    if func is not aten.copy_.default or not all(type(each) is AbstractTensor for each in args[:2]):
        return False
    return args[0].held is args[1].held and args[0].numel() == args[1].numel()


def _known_answer(func: Any, args: Any) -> bool | None:
    """What PyTorch's own code is answered where it asks for a truth value, or None where a model asks.

    The loops of `torch.nn.init.trunc_normal_` ask if some elements are to be drawn again: no. The distributions ask
    if their arguments are valid: yes.
    """
    if func is not aten._local_scalar_dense.default or args[0].dtype is not torch.bool:
        return None
    frame = sys._getframe(1)
    for _ in range(_FRAMES_TO_CALLER):
        if frame.f_code.co_filename == torch.nn.init.__file__:
            return False
        if frame.f_code.co_filename.startswith(_DISTRIBUTIONS):
            return True
        if frame.f_back is None:
            return None
        frame = frame.f_back
    return None


def _as_indices(index: torch.Tensor | None) -> tuple[torch.Tensor | None, ...]:
    if index is None or index.dtype is not torch.bool:
        return (index,)
    return index.nonzero(as_tuple=True)


def _device(args: Any, kwargs: Any) -> torch.device:
    """Where an operation puts its result: where it was told to, or where its first tensor is."""
    told = kwargs.get("device")
    if told is not None:
        device = torch.device(told)
        # A model that is built without weights costs what it costs with them.
        return _CPU if device.type == "meta" else device
    scalar_device = None
    for value in (*args, *kwargs.values()):
        for tensor in value if isinstance(value, list | tuple) else (value,):
            if isinstance(tensor, torch.Tensor):
                if tensor.dim() > 0:
                    return tensor.device
                scalar_device = scalar_device or tensor.device
    return scalar_device or torch.get_default_device()


def _reshape(tensor: Any, reshaped: torch.Tensor) -> None:
    """Give ``tensor`` the shape that the operation gave its stand-in."""
    if type(tensor) is not AbstractTensor:
        raise NeedsValuesError("an abstract tensor is written into a real one that changes its shape")
    description = describe_tensor(reshaped, tensor.device)
    tensor.data = make(description, tensor.held)
