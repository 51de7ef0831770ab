"""Abstract tensors: shape, stride, dtype and device of a tensor, without its elements."""

from __future__ import annotations

from typing import Any

import torch
from torch.utils._python_dispatch import _get_current_dispatch_mode_stack, is_traceable_wrapper_subclass

from pytest_modelbudget.engine.memory import Storage

_PLAIN = (torch.Tensor, torch.nn.Parameter)
_make_wrapper = torch.Tensor._make_wrapper_subclass
_untyped_storage = torch.Tensor.untyped_storage


class Description:
    """What an operation needs to know of an argument to choose the shapes of its results.

    Equal descriptions are one object (see `describe`), so that they hash and compare by identity.
    """

    __slots__ = ("device", "dtype", "nbytes", "shape", "stride")

    def __init__(
        self, shape: tuple[int, ...], stride: tuple[int, ...], dtype: torch.dtype, device: torch.device
    ) -> None:
        self.shape = shape
        self.stride = stride
        self.dtype = dtype
        self.device = device
        self.nbytes = _extent(shape, stride) * dtype.itemsize


class GivenDescription(Description):
    """Of a tensor of the model that was given, which a copy of it does not use: like no description of the copy's."""

    __slots__ = ()


def _extent(shape: tuple[int, ...], stride: tuple[int, ...]) -> int:
    """Elements from the first to the last that a tensor of this shape and stride can reach."""
    last = 0
    for size, step in zip(shape, stride, strict=True):
        if size == 0:
            return 0
        last += (size - 1) * step
    return last + 1


_descriptions: dict[tuple[object, ...], Description] = {}


def describe(shape: tuple[int, ...], stride: tuple[int, ...], dtype: torch.dtype, device: torch.device) -> Description:
    """The one description with these properties."""
    key = (shape, stride, dtype, device)
    found = _descriptions.get(key)
    if found is None:
        found = _descriptions[key] = Description(shape, stride, dtype, device)
    return found


def describe_tensor(tensor: torch.Tensor, device: torch.device | None = None) -> Description:
    """The description of a strided tensor, on ``device`` where that is given."""
    return describe(tuple(tensor.shape), tensor.stride(), tensor.dtype, device or tensor.device)


class NeedsValuesError(RuntimeError):
    """The forward pass looks at the elements of a tensor that has none."""


class AbstractTensor(torch.Tensor):
    """A tensor that has no elements. It moves only under a `Recorder`, which propagates it.

    It is never on the meta device: code that asks for its device, to make an index or a mask beside it, gets
    the model's own, so that those small tensors are real and can be looked at.
    """

    description: Description
    held: Storage
    # Whether it is lazily conjugated or negated: operations that cannot take it so copy it first.
    is_mirrored = False

    __torch_function__ = torch._C._disabled_torch_function_impl  # type: ignore[assignment]

    @classmethod
    def __torch_dispatch__(  # type: ignore[override]
        cls, func: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        if func is torch.ops.aten._has_compatible_shallow_copy_type.default:  # asked by `tensor.data = ...`
            return True
        if not OWN_TYPES.issuperset(types):
            return NotImplemented  # a tensor of another kind takes itself apart
        raise RuntimeError(f"{func} was called on an abstract tensor after its measurement had ended")

    @property
    def data(self) -> torch.Tensor:
        """As for any tensor; a model that casts itself sets it, and so changes what its parameter is."""
        return torch.Tensor.data.__get__(self)  # type: ignore[attr-defined, no-any-return]

    @data.setter
    def data(self, new: torch.Tensor) -> None:
        torch.Tensor.data.__set__(self, new)  # type: ignore[attr-defined]
        if isinstance(new, AbstractTensor):
            self.description, self.held = new.description, new.held
        else:
            self.description = describe_tensor(new)
            self.held = Storage(self.description.nbytes, self.held.memory)

    def data_ptr(self) -> int:
        """Where a tensor lies in memory cannot be known of one that is not there."""
        raise _needs_values("data_ptr")

    def untyped_storage(self) -> torch.UntypedStorage:
        """A storage that raises where its address or elements are asked for, and tells its size."""
        storage = _untyped_storage(self)
        if storage.nbytes() != self.held.nbytes:  # of a view
            raise _needs_values("untyped_storage")
        return storage

    def __repr__(self) -> str:  # type: ignore[override]
        return f"AbstractTensor(shape={tuple(self.shape)}, dtype={self.dtype})"

    def __deepcopy__(self, memo: dict[int, Any]) -> AbstractTensor:
        own, held = self.description, Storage(self.held.nbytes, self.held.memory)
        description = describe(own.shape, own.stride, own.dtype, own.device)
        copied = make(description, held, self.requires_grad, self.storage_offset())
        copied.__dict__.update({k: v for k, v in self.__dict__.items() if k not in ("description", "held")})
        memo[id(self)] = copied
        return copied


OWN_TYPES = frozenset((torch.Tensor, torch.nn.Parameter, torch.nn.Buffer, AbstractTensor))


def _needs_values(asked: str) -> NeedsValuesError:
    """The error for what is asked without an operation; the recorder is told, since a model may catch it."""
    for mode in _get_current_dispatch_mode_stack():
        needed = getattr(mode, "needed", None)
        if needed is not None:
            needed.append(asked)
    return NeedsValuesError(f"{asked} asks for the memory of a tensor that has none")


def make(
    description: Description, held: Storage, requires_grad: bool = False, offset: int | torch.SymInt | None = None
) -> AbstractTensor:
    """An abstract tensor of this description over ``held``, which other tensors may share, from ``offset`` on."""
    tensor: AbstractTensor = _make_wrapper(
        AbstractTensor,
        description.shape,
        strides=description.stride,
        storage_offset=offset,
        dtype=description.dtype,
        device=description.device,
        requires_grad=requires_grad,
    )
    tensor.description = description
    tensor.held = held
    if torch.is_grad_enabled():
        # Autograd keeps results as tensors of its own on the same storage, which then has to keep `held` alive.
        _untyped_storage(tensor).held = held  # type: ignore[attr-defined]
    return tensor


def view(
    description: Description,
    base: AbstractTensor,
    mirrors: tuple[bool, bool] | None = None,
    offset: int | torch.SymInt | None = None,
) -> AbstractTensor:
    """A tensor of this description over the storage of ``base``, from ``offset`` on.

    ``mirrors`` has it conjugated, or negated, lazily.
    """
    seen = make(description, base.held, offset=offset)
    if base.is_mirrored or mirrors is not None:
        conjugates, negates = mirrors or (False, False)
        conjugated, negated = base.is_conj() != conjugates, base.is_neg() != negates
        torch._C._set_conj(seen, conjugated)
        torch._C._set_neg(seen, negated)
        seen.is_mirrored = conjugated or negated
    return seen


def can_be_abstract(tensor: torch.Tensor) -> bool:
    """Whether the elements of ``tensor`` are left out: floating-point and complex numbers in plain storage.

    Integers and booleans (token ids, positions, masks) stay real, since models look at them.
    """
    dtype = tensor.dtype
    if not (dtype.is_floating_point or dtype.is_complex) or tensor.layout is not torch.strided:
        return False
    if type(tensor) in _PLAIN:
        return not tensor.is_nested
    return not (tensor.is_quantized or tensor.is_nested or is_traceable_wrapper_subclass(tensor))
