"""A copy of a model to measure, so that the model itself is left exactly as it was.

Modules are copied one by one, with containers of their own. Other attributes are deep copies, so that a forward pass
that appends to a list or counts its calls does so on the copy; what cannot be copied (a lock, an open file) is shared.
Functions that hold modules, tensors or containers are made anew (see `rebinding`), and other objects as they are
pickled (see `objects`). Tensors, whatever holds them, become abstract, or, for a real run, clones. Ties are kept: one
tensor stays one, and one storage stays one.
"""

from __future__ import annotations

import types
import weakref
from collections import OrderedDict, defaultdict, deque
from typing import Any

import torch
from torch import nn
from torch.jit._trace import TopLevelTracedModule, TracedModule
from torch.nn.modules.batchnorm import _NormBase
from torch.utils._python_dispatch import is_traceable_wrapper_subclass

from pytest_modelbudget.engine.abstract import AbstractTensor, GivenDescription, can_be_abstract, describe, make
from pytest_modelbudget.engine.limits import SMALL
from pytest_modelbudget.engine.memory import Memory, Storage
from pytest_modelbudget.engine.objects import rebuilt
from pytest_modelbudget.engine.originals import EMPTY, Originals, Swap, contents_of, identity_of
from pytest_modelbudget.engine.parts import strided_parts
from pytest_modelbudget.engine.rebinding import REBOUND, referent
from pytest_modelbudget.engine.sharded import is_sharded, is_state, local_whole, whole_hooks, whole_type
from pytest_modelbudget.errors import MeasurementError

_IMMUTABLE: frozenset[type] = frozenset(
    (
        *(int, float, complex, bool, str, bytes, type(None), type, range, type(Ellipsis), types.ModuleType),
        *(torch.dtype, torch.device, torch.Size, torch.memory_format, torch.layout),
    )
)
_COMPRESSED = (torch.sparse_csr, torch.sparse_csc, torch.sparse_bsr, torch.sparse_bsc)


_CHANGEABLE = frozenset((list, deque, set, dict, OrderedDict, defaultdict))


class Copier:
    """Copies one model.

    Args:
        memory: where the copied weights count as alive.
        abstract: whether floating-point tensors become abstract.
        dtype: of the floating-point tensors of the copy; None leaves each its own.
        keeps_small: whether small floating-point tensors that are no parameters keep their values all the same.
        originals: learns what belongs to the model, and so is not to be used.
        swap: where it is given the modules stay themselves, and it learns what they are to hold while they run.
    """

    def __init__(
        self,
        memory: Memory,
        *,
        abstract: bool,
        dtype: torch.dtype | None = None,
        keeps_small: bool = True,
        originals: Originals | None = None,
        swap: Swap | None = None,
    ) -> None:
        self._memory = memory
        self._abstract = abstract
        self._dtype = dtype
        self._keeps_small = keeps_small
        self._originals = originals or Originals()
        self._swap = swap
        self._memo: dict[int, Any] = {}
        self._storages: dict[int, Storage] = {}
        self._clones: dict[int, torch.Tensor] = {}
        self._slots: dict[type, tuple[Any, ...]] = {}

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
        rebound = REBOUND.get(type(value))
        if rebound is not None:
            return rebound(value, self)
        if isinstance(value, torch.Tensor):
            return self._tensor(value)
        if isinstance(value, nn.Module):
            return self._module(value)
        return self._container(value)

    def known(self, value: Any) -> Any:
        """The copy of a value that was copied before, or None."""
        return self._memo.get(id(value))

    def _container(self, value: Any) -> Any:
        """A copy with copied contents."""
        kind = type(value)
        if kind in _CHANGEABLE:
            self._originals.note(value, kind(value) if kind is not defaultdict else dict(value))
        if kind is list or kind is deque:
            sequence = self.remember(value, kind())
            sequence.extend(self.value(item) for item in value)
            return sequence
        if kind is tuple and _IMMUTABLE.issuperset(map(type, value)):
            return value
        if kind is tuple or kind is set:
            return self.remember(value, kind(self.value(item) for item in value))
        if kind is dict or kind is OrderedDict or kind is defaultdict:
            copied: Any = defaultdict(value.default_factory) if kind is defaultdict else kind()
            self.remember(value, copied)
            copied.update((key, self.value(item)) for key, item in value.items())
            return copied
        return rebuilt(value, self.value, self._memo)

    def remember(self, original: Any, copied: Any) -> Any:
        """Note the copy of a value; give that copy."""
        self._memo[id(original)] = copied
        return copied

    def _module(self, module: nn.Module) -> nn.Module:
        known = self._memo.get(id(module))
        if known is not None:
            return known  # type: ignore[no-any-return]
        new: list[tuple[nn.Module, nn.Module, dict[str, Any]]] = []
        copied = self._tree(module, new)
        # All registered modules first: whatever refers to one of them then finds it copied.
        for each in new:
            self._fill(*each)
        return copied

    def _tree(self, module: nn.Module, new: list[tuple[nn.Module, nn.Module, dict[str, Any]]]) -> nn.Module:
        """A module and those below it, without attributes so far; ``new`` says which, and where these belong."""
        known = self._memo.get(id(module))
        if known is not None:
            return known  # type: ignore[no-any-return]
        plain = _uncompiled_referent(module)
        if plain is not module:
            return self.remember(module, self._tree(plain, new))  # type: ignore[no-any-return]
        _refuse_unmeasurable(module)
        attributes: dict[str, Any]
        if self._swap is None:
            copied = object.__new__(whole_type(module))
            attributes = copied.__dict__
        else:
            copied, attributes = module, {}
            self._swap.add(module, attributes)
        self.remember(module, copied)
        children = attributes["_modules"] = {}
        children.update(
            (name, child if child is None else self._tree(child, new)) for name, child in module._modules.items()
        )
        new.append((module, copied, attributes))
        return copied

    def _fill(self, module: nn.Module, copied: nn.Module, attributes: dict[str, Any]) -> None:
        """Give a copied module the copies of what the module holds."""
        own = module.__dict__
        self._originals.modules.add(id(module))
        self._originals.copies.add(id(copied))
        self._originals.note(own, own.copy())
        for table in ("_parameters", "_buffers"):
            tensors = own[table]
            if tensors:
                self._originals.note(tensors, tensors.copy())
            attributes[table] = {
                name: tensor if tensor is None else self._tensor(tensor, computed=isinstance(module, _NormBase))
                for name, tensor in tensors.items()
            }
        for name, value in own.items():
            if name in attributes or is_state(name):
                continue
            kind = type(value)
            if kind in _IMMUTABLE:
                attributes[name] = value
            elif (kind is OrderedDict or kind is dict) and not value:  # most tables of hooks
                attributes[name] = kind()
            else:
                attributes[name] = self.value(whole_hooks(value) if name.endswith("_hooks") else value)
        for slot in self._slots_of(type(module)):
            held = contents_of(slot, module)
            if held is EMPTY:
                continue
            if self._swap is None:
                slot.__set__(copied, self.value(held))
            else:
                self._swap.add_slot(module, slot, self.value(held))

    def _slots_of(self, kind: type) -> tuple[Any, ...]:
        """What holds the attributes that a class keeps outside of the dict."""
        slots = self._slots.get(kind)
        if slots is None:
            slots = self._slots[kind] = tuple(
                member
                for each in kind.__mro__
                if "__slots__" in each.__dict__
                for member in each.__dict__.values()
                if type(member) is types.MemberDescriptorType
            )
        return slots

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
        sharded = is_sharded(tensor)
        abstract = kind is AbstractTensor or (
            self._abstract and (can_be_abstract(tensor) or (sharded and tensor.is_floating_point()))
        )
        if abstract and (computed or sharded or not self._keeps_values(tensor)):
            copied = self._as_abstract(tensor)
        elif sharded:
            copied = self._clone(local_whole(tensor)).requires_grad_(tensor.requires_grad)
        else:
            copied = self._clone(tensor)
        if kind is nn.Parameter or isinstance(tensor, nn.Parameter):
            copied._is_param = True
        self.remember(tensor, copied)
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
        if type(tensor) is not AbstractTensor:
            self._originals.storages.add(identity)
        elif type(tensor.description) is not GivenDescription:
            own = tensor.description
            tensor.description = GivenDescription(own.shape, own.stride, own.dtype, own.device)
        held = self._storages.get(identity)
        if held is None:
            nbytes = nbytes // tensor.dtype.itemsize * dtype.itemsize
            held = self._storages[identity] = Storage(nbytes, self._memory)
        return make(description, held, tensor.requires_grad, tensor.storage_offset() or None)

    def _clone(self, tensor: torch.Tensor) -> torch.Tensor:
        with torch.no_grad():
            plain = tensor.layout is torch.strided and not is_traceable_wrapper_subclass(tensor)
            if tensor.layout in _COMPRESSED:
                self._originals.storages.update(map(identity_of, strided_parts(tensor)))
                # Not `clone()`, which leaves out what the storages hold besides.
                outer, inner, values = (self._clone(part) for part in strided_parts(tensor))
                copied = torch.sparse_compressed_tensor(outer, inner, values, tensor.shape, layout=tensor.layout)
            elif not plain or tensor.is_quantized or tensor.is_nested or tensor.is_meta:
                self._originals.storages.add(identity_of(tensor))
                copied = tensor.detach().clone()
                for part in strided_parts(copied):
                    self._memory.hold_real(part)
            else:
                dtype = self._dtype if self._dtype is not None and tensor.is_floating_point() else tensor.dtype
                identity, nbytes = storage_of(tensor)
                self._originals.storages.add(identity)
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
    try:
        storage = tensor.untyped_storage()
    except NotImplementedError:  # within torch.func.vmap and the like
        raise MeasurementError(
            f"a {type(tensor).__name__} of a transform around the call has no storage; measure outside of it",
            "inputs",
        ) from None
    return storage._cdata, storage.nbytes()


def uncompiled(model: nn.Module) -> nn.Module:
    """The module that `torch.compile` was given; the same module where it was given none."""
    if not type(model).__module__.startswith("torch._dynamo"):
        return model
    inner = model._modules.get("_orig_mod")
    return model if inner is None else inner


def _uncompiled_referent(module: nn.Module) -> nn.Module:
    """The module itself, where it is reached by a proxy or through what `torch.compile` made of it."""
    if isinstance(module, weakref.ProxyTypes):
        module = referent(module)
    return uncompiled(module)


def _refuse_unmeasurable(module: nn.Module) -> None:
    if isinstance(module, TracedModule | TopLevelTracedModule):
        kind, maker = "traced", "torch.jit.trace"
    elif isinstance(module, torch.jit.ScriptModule):
        kind, maker = "scripted", "torch.jit.script"
    else:
        return
    raise MeasurementError(
        f"{type(module).__name__} is a {kind} module, whose forward pass cannot be followed; "
        f"measure the module that was given to {maker}"
    )
