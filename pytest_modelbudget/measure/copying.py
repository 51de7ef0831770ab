"""A copy of a model to measure, so that the model itself is left exactly as it was.

Modules are copied one by one, with containers of their own. Other attributes are deep copies, so that a forward pass
that appends to a list or counts its calls does so on the copy; what cannot be copied (a lock, an open file) is shared.
Tensors, whatever holds them, become abstract, or, for a real run, clones. Ties are kept: one tensor stays one, and one
storage stays one.
"""

from __future__ import annotations

import functools
import types
from collections import OrderedDict, defaultdict, deque
from typing import Any

import torch
from torch import nn
from torch.nn.modules.batchnorm import _NormBase
from torch.utils._python_dispatch import is_traceable_wrapper_subclass

from pytest_modelbudget.errors import MeasurementError
from pytest_modelbudget.measure.abstract import AbstractTensor, can_be_abstract, describe, make
from pytest_modelbudget.measure.limits import SMALL
from pytest_modelbudget.measure.memory import Memory, Storage
from pytest_modelbudget.measure.objects import rebuilt
from pytest_modelbudget.measure.parts import strided_parts

_IMMUTABLE: frozenset[type] = frozenset(
    (
        *(int, float, complex, bool, str, bytes, type(None), type, range, type(Ellipsis)),
        *(types.FunctionType, types.BuiltinFunctionType, types.ModuleType),
        *(torch.dtype, torch.device, torch.Size, torch.memory_format, torch.layout),
    )
)
_COMPRESSED = (torch.sparse_csr, torch.sparse_csc, torch.sparse_bsr, torch.sparse_bsc)


class Copier:
    """Copies one model.

    Args:
        memory: where the copied weights count as alive.
        abstract: whether floating-point tensors become abstract.
        dtype: of the floating-point tensors of the copy; None leaves each its own.
        keeps_small: whether small floating-point tensors that are no parameters keep their values all the same.
    """

    def __init__(
        self, memory: Memory, *, abstract: bool, dtype: torch.dtype | None = None, keeps_small: bool = True
    ) -> None:
        self._memory = memory
        self._abstract = abstract
        self._dtype = dtype
        self._keeps_small = keeps_small
        self._memo: dict[int, Any] = {}
        self._storages: dict[int, Storage] = {}
        self._clones: dict[int, torch.Tensor] = {}

    def copy(self, model: nn.Module) -> nn.Module:
        """The copy of a model.

        Raises:
            MeasurementError: it holds a module that cannot be copied or measured.
        """
        return self._module(model)

    def value(self, value: Any) -> Any:
        """The copy of any value: an input, or an attribute of a module."""
        if type(value) in _IMMUTABLE:
            return value
        known = self._memo.get(id(value))
        if known is not None:
            return known
        if isinstance(value, torch.Tensor):
            return self._tensor(value)
        if isinstance(value, nn.Module):
            return self._module(value)
        return self._container(value)

    def _container(self, value: Any) -> Any:
        """A copy with copied contents."""
        kind = type(value)
        if kind is list or kind is deque:
            sequence = self._remember(value, kind())
            sequence.extend(self.value(item) for item in value)
            return sequence
        if kind is tuple and _IMMUTABLE.issuperset(map(type, value)):
            return value
        if kind is tuple or kind is set:
            return self._remember(value, kind(self.value(item) for item in value))
        if kind is dict or kind is OrderedDict or kind is defaultdict:
            copied: Any = defaultdict(value.default_factory) if kind is defaultdict else kind()
            self._remember(value, copied)
            copied.update((key, self.value(item)) for key, item in value.items())
            return copied
        if kind is types.MethodType:
            return types.MethodType(value.__func__, self.value(value.__self__))
        if kind is functools.partial:
            keywords = {key: self.value(item) for key, item in value.keywords.items()}
            return functools.partial(self.value(value.func), *(self.value(arg) for arg in value.args), **keywords)
        return rebuilt(value, self.value, self._memo)

    def _remember(self, original: Any, copied: Any) -> Any:
        self._memo[id(original)] = copied
        return copied

    def _module(self, module: nn.Module) -> nn.Module:
        known = self._memo.get(id(module))
        if known is not None:
            return known  # type: ignore[no-any-return]
        plain = uncompiled(module)
        if plain is not module:
            return self._remember(module, self._module(plain))  # type: ignore[no-any-return]
        _refuse_unmeasurable(module)
        copied = self._remember(module, object.__new__(type(module)))
        attributes = copied.__dict__
        # The registered children first: what an attribute refers to is then found copied.
        attributes["_modules"] = {}
        attributes["_modules"].update(
            (name, child if child is None else self._module(child)) for name, child in module._modules.items()
        )
        for table in ("_parameters", "_buffers"):
            attributes[table] = {
                name: tensor if tensor is None else self._tensor(tensor, computed=isinstance(module, _NormBase))
                for name, tensor in module.__dict__[table].items()
            }
        for name, value in module.__dict__.items():
            if name in attributes:
                continue
            kind = type(value)
            if kind in _IMMUTABLE:
                attributes[name] = value
            elif (kind is OrderedDict or kind is dict) and not value:  # most tables of hooks
                attributes[name] = kind()
            else:
                attributes[name] = self.value(value)
        return copied  # type: ignore[no-any-return]

    def _tensor(self, tensor: torch.Tensor, *, computed: bool = False) -> torch.Tensor:
        """The copy of a tensor; one that a norm computes is never looked at."""
        known = self._memo.get(id(tensor))
        if known is not None:
            return known  # type: ignore[no-any-return]
        kind = type(tensor)
        if nn.parameter.is_lazy(tensor):
            raise MeasurementError(
                "a lazy module's parameters have no shape yet; call the model once before it is measured"
            )
        if tensor.is_nested and tensor.layout is torch.strided:
            raise MeasurementError(
                "a nested tensor in the strided layout does not tell its shape; make it with layout=torch.jagged",
                "inputs",
            )
        abstract = kind is AbstractTensor or (self._abstract and can_be_abstract(tensor))
        if abstract and (computed or not self._keeps_values(tensor)):
            copied = self._as_abstract(tensor)
        else:
            copied = self._clone(tensor)
        if kind is nn.Parameter or isinstance(tensor, nn.Parameter):
            copied._is_param = True
        self._remember(tensor, copied)
        attributes = vars(tensor)
        if attributes:
            for name, value in attributes.items():
                if name not in ("description", "held", "_is_param"):
                    setattr(copied, name, self.value(value))
        return copied

    def _keeps_values(self, tensor: torch.Tensor) -> bool:
        """Whether a tensor stays real that could be abstract: models look at their strides, anchors and rates."""
        if not self._keeps_small or type(tensor) is AbstractTensor or tensor.is_meta:
            return False
        identity, nbytes = storage_of(tensor)
        if identity in self._clones:
            return True
        if isinstance(tensor, nn.Parameter) or identity in self._storages:
            return False
        return nbytes <= SMALL * tensor.dtype.itemsize

    def _as_abstract(self, tensor: torch.Tensor) -> torch.Tensor:
        dtype = self._dtype if self._dtype is not None and tensor.dtype.is_floating_point else tensor.dtype
        # Weights on the meta device are measured as on the CPU: their values are not there either way.
        device = torch.device("cpu") if tensor.is_meta else tensor.device
        description = describe(tuple(tensor.shape), tensor.stride(), dtype, device)
        identity, nbytes = storage_of(tensor)
        held = self._storages.get(identity)
        if held is None:
            nbytes = nbytes // tensor.dtype.itemsize * dtype.itemsize
            held = self._storages[identity] = Storage(nbytes, self._memory)
        return make(description, held, tensor.requires_grad, tensor.storage_offset() or None)

    def _clone(self, tensor: torch.Tensor) -> torch.Tensor:
        with torch.no_grad():
            plain = tensor.layout is torch.strided and not is_traceable_wrapper_subclass(tensor)
            if tensor.layout in _COMPRESSED:
                # Not `clone()`, which leaves out what the storages hold besides.
                outer, inner, values = (self._clone(part) for part in strided_parts(tensor))
                copied = torch.sparse_compressed_tensor(outer, inner, values, tensor.shape, layout=tensor.layout)
            elif not plain or tensor.is_quantized or tensor.is_nested or tensor.is_meta:
                copied = tensor.detach().clone()
                for part in strided_parts(copied):
                    self._memory.hold_real(part)
            else:
                dtype = self._dtype if self._dtype is not None and tensor.is_floating_point() else tensor.dtype
                identity, nbytes = storage_of(tensor)
                base = self._clones.get(identity)
                if base is None:
                    whole = tensor.detach().as_strided((nbytes // tensor.dtype.itemsize,), (1,), 0)
                    base = self._clones[identity] = whole.to(dtype, copy=True)
                    self._memory.hold_real(base)
                copied = base.as_strided(tensor.shape, tensor.stride(), tensor.storage_offset())
        if isinstance(tensor, nn.Parameter) and tensor.layout is torch.strided:
            copied = nn.Parameter(copied, requires_grad=tensor.requires_grad)
        else:
            copied.requires_grad_(tensor.requires_grad)
        return copied


def storage_of(tensor: torch.Tensor) -> tuple[int, int]:
    """What is the same for tensors that share a storage, and that storage's size in bytes."""
    if type(tensor) is AbstractTensor:
        return id(tensor.held), tensor.held.nbytes
    storage = tensor.untyped_storage()
    return storage._cdata, storage.nbytes()


def uncompiled(model: nn.Module) -> nn.Module:
    """The module that `torch.compile` was given; the same module where it was given none."""
    if not type(model).__module__.startswith("torch._dynamo"):
        return model
    inner = model._modules.get("_orig_mod")
    return model if inner is None else inner


def _refuse_unmeasurable(module: nn.Module) -> None:
    if isinstance(module, torch.jit.ScriptModule):
        raise MeasurementError(
            f"{type(module).__name__} is a scripted module, whose forward pass cannot be followed; "
            "measure the module that was given to torch.jit.script"
        )
