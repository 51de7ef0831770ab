"""How abstract tensors move through an operation.

An operation on the same argument descriptions gives the same result descriptions, so each is worked out once, on
PyTorch's meta device, and remembered.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import torch

from pytest_modelbudget.engine.abstract import (
    AbstractTensor,
    Description,
    NeedsValuesError,
    can_be_abstract,
    describe_tensor,
    make,
    view,
)
from pytest_modelbudget.engine.limits import LARGE, Limits
from pytest_modelbudget.engine.memory import Memory, Storage
from pytest_modelbudget.engine.plans import TRAINING, WRITES_STATISTICS, Plan
from pytest_modelbudget.engine.results import Alias, New, remember_all
from pytest_modelbudget.engine.shapes import BY_HAND, RULES
from pytest_modelbudget.engine.unknown import Unknown

aten = torch.ops.aten

_META = torch.device("meta")
_CPU = torch.device("cpu")
_DISTRIBUTIONS = str(Path(torch.distributions.__file__).parent)

# From a dispatched operation to the Python code that called it are our frames and a few of PyTorch's.
_FRAMES_TO_CALLER = 12


# Of a sparse and an abstract tensor they are known to give a dense one.
_PRODUCTS = {aten.mm, aten.addmm, aten.bmm, aten.baddbmm, aten.mv, aten._sparse_mm, aten._sparse_addmm}

_INTEGERS = {torch.bool, torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64}

# Above it an operation is not run on blank tensors only to see what it says.
_AT_MOST = 1 << 24


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


class Propagation:
    """Runs operations on abstract tensors; one for each measurement.

    Attributes:
        needed: the operations that asked for elements (a model may have caught the `NeedsValuesError`).
        before_first: sees the arguments of every call whose result is not remembered.
        left_integers: whether integers or booleans were so many that they were left abstract.

    Args:
        memory: where results count as alive, or None.
        limits: up to where tensors stay real.
    """

    def __init__(self, memory: Memory | None, limits: Limits) -> None:
        self._limits = limits
        self.needed: list[str] = []
        self.before_first: Callable[[Any], object] = len
        self.left_integers = False
        self._memory = memory
        self._plans: dict[Any, Plan] = {}
        self._results: dict[Any, Any] = {}
        self._small: set[Any] = set()  # calls on real tensors whose results are known to be small
        self._unknown = Unknown(memory)

    def call(self, func: Any, args: Any, kwargs: Any) -> tuple[Any, Any]:
        """Run one operation.

        Returns:
            a key that is equal for calls with the same argument descriptions, and the operation's result.

        Raises:
            NeedsValuesError: the result depends on elements that are not there.
        """
        if self._unknown and func is not aten.detach.default:  # `.numpy()` detaches, and then is to raise
            args, kwargs = self._without_unknown(func, args, kwargs)
        parts: list[Any] = [func]
        parts += [arg.description if type(arg) is AbstractTensor else signature(arg) for arg in args]
        if kwargs:
            parts.append(signature(kwargs))
        key = tuple(parts)
        remembered = self._results.get(key)
        if remembered is not None:
            return key, self._build(remembered, args, kwargs)
        self.before_first(args)
        plan = self._plan(func)
        if plan.is_factory:
            return key, self._create(func, key, args, kwargs)
        if _is_abstract(args) or _is_abstract(kwargs):
            return key, self._propagate(func, plan, key, args, kwargs)
        if self._becomes_large(func, plan, key, args, kwargs):
            return key, self._propagate(func, plan, key, args, kwargs)
        return key, self._compute(func, args, kwargs)

    def _becomes_large(self, func: Any, plan: Plan, key: Any, args: Any, kwargs: Any) -> bool:
        """Whether a new result of real arguments is so large that it is left abstract."""
        if plan.is_in_place or plan.reads_values or any(where is not None for where, _ in plan.returns):
            return False
        # Two small arguments may meet element by element, in a broadcast or a product.
        most = math.prod(tensor.numel() for tensor in args if isinstance(tensor, torch.Tensor))
        if most <= LARGE or key in self._small:
            return False
        try:
            sample = self._on_meta(func, map_tensors(stand_in, args), map_tensors(stand_in, kwargs))
        except (RuntimeError, NotImplementedError):  # on real tensors it may be known
            return False
        if self._is_too_large(sample, self._limits.computed):
            return True
        self._small.add(key)
        return False

    def _is_too_large(self, sample: Any, most: int) -> bool:
        """Whether a result like ``sample`` is left abstract; floating-point ones beyond ``most`` elements are."""
        if not isinstance(sample, torch.Tensor):
            return False
        if can_be_abstract(sample):
            return sample.numel() > most
        integers = self._limits.integers
        if integers is None or sample.numel() <= integers:
            return False
        if sample.dtype not in _INTEGERS or sample.layout is not torch.strided:
            return False
        self.left_integers = True
        return True

    def _without_unknown(self, func: Any, args: Any, kwargs: Any) -> tuple[Any, Any]:
        """The arguments with abstract tensors in place of real ones whose elements are lost."""
        plan = self._plan(func)
        abstracted = self._unknown.abstracted(args)
        if plan.reshapes and abstracted[0] is not args[0]:
            raise self._needs(func, "changes the shape of a real tensor that abstract ones were written into")
        return abstracted, self._unknown.abstracted(kwargs)

    def _plan(self, func: Any) -> Plan:
        plan = self._plans.get(func)
        if plan is None:
            plan = self._plans[func] = Plan(func)
        return plan

    def _needs(self, func: Any, why: str) -> NeedsValuesError:
        self.needed.append(str(func))
        return NeedsValuesError(f"{func} {why}")

    def _compute(self, func: Any, args: Any, kwargs: Any) -> Any:
        """Run on real tensors."""
        out = func(*args, **kwargs)
        if self._memory is not None:
            for tensor in out if isinstance(out, list | tuple) else (out,):
                if isinstance(tensor, torch.Tensor) and not tensor.is_meta:
                    self._memory.hold_real(tensor)
        return out

    def _create(self, func: Any, key: Any, args: Any, kwargs: Any) -> Any:
        """Run a factory: its result's elements depend on no tensor's elements, so it is real where it is small."""
        if "device" in kwargs:
            kwargs = kwargs | {"device": _device(args, kwargs)}
        if key not in self._small:
            sample = self._sample(func, map_tensors(stand_in, args), map_tensors(stand_in, kwargs), args, kwargs)
            if self._is_too_large(sample, self._limits.made):
                description = describe_tensor(sample, _device(args, kwargs))
                self._results[key] = New(description, description.nbytes)
                return self.make(description)
            self._small.add(key)
        return self._compute(func, map_tensors(_blank, args), map_tensors(_blank, kwargs))

    def _propagate(self, func: Any, plan: Plan, key: Any, args: Any, kwargs: Any) -> Any:
        by_hand = BY_HAND.get(func)
        if by_hand is not None:
            return by_hand(self.make, *args, **kwargs)
        if plan.reads_values:
            answer = _known_answer(func, args)
            if answer is not None:
                return answer
            args = self._with_indices(func, args)
        if any(_has_no_stand_in(func, tensor) for tensor in _tensors((*args, *kwargs.values()))):
            raise self._needs(func, "is called with a sparse tensor, whose result is known of real tensors only")
        meta_args, meta_kwargs = map_tensors(stand_in, args), map_tensors(stand_in, kwargs)
        out = self._sample(func, meta_args, meta_kwargs, args, kwargs)
        device = _device(args, kwargs)
        lost = bool(plan.writes) and self._lose(func, plan, args, kwargs)
        if plan.reshapes:
            _reshape(args[0], meta_args[0])
            return args[0]
        if not plan.returns:
            return out
        remembered = remember_all(out, plan.returns, device, meta_args)
        if not plan.reads_values and not lost:
            self._results[key] = remembered
        return self._build(remembered, args, kwargs)

    def _sample(self, func: Any, meta_args: Any, meta_kwargs: Any, args: Any, kwargs: Any) -> Any:
        """The result on the meta device; where that knows none, what real tensors say decides."""
        try:
            return self._on_meta(func, meta_args, meta_kwargs)
        except NeedsValuesError:
            raise
        except RuntimeError as error:
            if _is_onto_itself(func, args):
                return meta_args[0]
            if _goes_through_on_real_tensors(func, args, kwargs):
                raise self._needs(func, f"has a result on real tensors only ({_line(error)})") from error
            raise

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
            raise self._needs(func, "gives a result whose shape depends on the elements of a tensor") from None

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
                offset = base.storage_offset() + remembered.offset
                return view(remembered.description, base, remembered.mirrors, offset)
            return make(remembered.description, Storage(0, None))
        return remembered.value

    def _with_indices(self, func: Any, args: Any) -> Any:
        """The arguments with real masks turned into the indices that they select, whose shapes are known."""
        if func.overloadpacket in (aten.index, aten._unsafe_index):
            tensor, indices = args
            if not any(type(index) is AbstractTensor and index.dtype is torch.bool for index in indices):
                return tensor, [part for index in indices for part in _as_indices(index)]
        raise self._needs(func, "looks at the elements of a tensor")

    def _lose(self, func: Any, plan: Plan, args: Any, kwargs: Any) -> bool:
        """Note the real tensors that abstract ones are written into; say whether there is any."""
        if func.overloadpacket in WRITES_STATISTICS and not args[TRAINING]:
            return False
        lost = False
        for where in plan.writes:
            written = kwargs.get(where) if isinstance(where, str) else args[where] if where < len(args) else None
            for tensor in written if isinstance(written, list | tuple) else (written,):
                if isinstance(tensor, torch.Tensor) and type(tensor) is not AbstractTensor:
                    self._unknown.add(tensor)
                    lost = True
        return lost


def _is_abstract(value: Any) -> bool:
    """Whether there is an abstract tensor in an argument."""
    if isinstance(value, torch.Tensor):
        return type(value) is AbstractTensor
    if isinstance(value, list | tuple):
        return any(_is_abstract(item) for item in value)
    if isinstance(value, dict):
        return any(_is_abstract(item) for item in value.values())
    return False


def _tensors(value: Any) -> Iterator[torch.Tensor]:
    """The tensors in an argument, through lists and tuples."""
    if isinstance(value, torch.Tensor):
        yield value
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _tensors(item)


def _has_no_stand_in(func: Any, tensor: torch.Tensor) -> bool:
    """Whether a tensor is sparse, unless the operation gives with it what it gives with a dense one."""
    if tensor.layout is torch.strided:
        return False
    return func.overloadpacket not in _PRODUCTS or tensor.layout is torch.sparse_bsc  # which the CPU cannot multiply


def map_tensors(change: Any, value: Any) -> Any:
    """``value`` with each tensor changed, through lists, tuples and dicts."""
    if isinstance(value, torch.Tensor):
        return change(value)
    if isinstance(value, list | tuple):
        return type(value)([map_tensors(change, item) for item in value])
    if isinstance(value, dict):
        return {key: map_tensors(change, item) for key, item in value.items()}
    return value


def stand_in(tensor: torch.Tensor) -> torch.Tensor:
    """A meta tensor of the same description."""
    if tensor.is_meta:
        return tensor
    if tensor.layout is not torch.strided:
        return torch.empty(tensor.shape, dtype=tensor.dtype, device=_META)
    return torch.empty_strided(tensor.shape, tensor.stride(), dtype=tensor.dtype, device=_META)


def _blank(tensor: torch.Tensor, make_flat: Callable[..., torch.Tensor] = torch.empty) -> torch.Tensor:
    """A real tensor of the same shape, strides and dtype; a large one takes no memory, and has no strides to tell."""
    if type(tensor) is not AbstractTensor:
        return tensor
    description = tensor.description
    size = description.nbytes // description.dtype.itemsize
    if size <= _AT_MOST:
        flat = make_flat(size, dtype=description.dtype, device=description.device)
        return flat.as_strided(description.shape, description.stride)
    return make_flat((), dtype=tensor.dtype, device=tensor.device).expand(tensor.shape)


def _filled(tensor: torch.Tensor) -> torch.Tensor:
    """A copy in which each element has a place of its own."""
    return tensor.clone(memory_format=torch.contiguous_format)


def _goes_through_on_real_tensors(func: Any, args: Any, kwargs: Any) -> bool:
    """Whether an operation has a result on real tensors of these shapes.

    Raises what it says where it has none: words that users know, unlike the meta device's. Not tried where there are
    so many elements that it may take long.
    """
    # Zeros, so that no operation meets what happened to be in the memory.
    zeros = partial(_blank, make_flat=torch.zeros)
    blanks, named = map_tensors(zeros, args), map_tensors(zeros, kwargs)
    if sum(blank.numel() for blank in _tensors(blanks)) > _AT_MOST:
        return False
    if func._schema.is_mutable:  # refuses to write where many elements are one in memory
        blanks, named = map_tensors(_filled, blanks), map_tensors(_filled, named)
    try:
        func(*blanks, **named)
    except NotImplementedError:
        return False
    return True


def _line(error: BaseException) -> str:
    """The first line of an error, without PyTorch's advice to the operation's author."""
    text = str(error).partition("\n")[0]
    return "it has no kernel for others" if "could not find the fake impl" in text else text


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
    tensor.data = make(description, tensor.held, offset=tensor.storage_offset() + reshaped.storage_offset())
