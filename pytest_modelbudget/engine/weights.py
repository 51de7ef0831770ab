"""What a model's weights cost: elements and bytes, each tensor and each storage once."""

from __future__ import annotations

import functools
from dataclasses import dataclass, field

import torch
from torch import nn

from pytest_modelbudget.engine.abstract import AbstractTensor
from pytest_modelbudget.engine.copying import storage_of
from pytest_modelbudget.engine.packed import unpacked
from pytest_modelbudget.engine.parts import strided_parts


@dataclass(slots=True)
class Weights:
    """What one module itself holds, without its children.

    Attributes:
        params: elements of the parameters.
        trainable_params: elements of those with ``requires_grad``.
        size: bytes of parameters and persistent buffers, as stored.
        packed: those bytes of them that are held in no tensor.
        dtypes: dtypes of its parameters, in the order of definition.
        shared_with: names of the modules that some of its tensors were put to already.
    """

    params: int = 0
    trainable_params: int = 0
    size: int = 0
    packed: int = 0
    dtypes: list[str] = field(default_factory=list)
    shared_with: list[str] = field(default_factory=list)

    def note(self, dtype: torch.dtype) -> None:
        """Add a dtype to those of its parameters."""
        name = dtype_name(dtype)
        if name not in self.dtypes:
            self.dtypes.append(name)


# Under which names the modules of `torch.ao.nn.quantized` hold what is packed.
_PACKED = ("_packed_params", "param")
_NOTHING = Weights()


@functools.cache
def dtype_name(dtype: torch.dtype) -> str:
    """``float32`` for ``torch.float32``."""
    return str(dtype).removeprefix("torch.")


def weigh(modules: dict[str, nn.Module]) -> dict[str, Weights]:
    """Put every tensor, and every storage, to the first module that holds it.

    Args:
        modules: qualified name to module; one module may stand under several names.

    Returns:
        qualified name to what that module holds.
    """
    owner_of: dict[int, str] = {}
    stored: set[int] = set()
    weights: dict[str, Weights] = {}
    for name, module in modules.items():
        attributes = module.__dict__
        packed = [attributes[key] for key in _PACKED if key in attributes]
        if not (module._parameters or module._buffers or packed):
            weights[name] = _NOTHING
            continue
        own = weights[name] = Weights()
        transient = module._non_persistent_buffers_set
        for tensor in module._parameters.values():
            if tensor is not None:
                own.note(tensor.dtype)
                if id(tensor) not in owner_of:
                    own.params += tensor.numel()
                    own.trainable_params += tensor.numel() if tensor.requires_grad else 0
                _store(tensor, name, own, owner_of, stored)
        for key, buffer in module._buffers.items():
            if buffer is not None and key not in transient:
                _store(buffer, name, own, owner_of, stored)
        for value in packed:
            if isinstance(value, torch.ScriptObject) and id(value) not in owner_of:
                owner_of[id(value)] = name
                _unpack(value, own)
    return weights


def _store(tensor: torch.Tensor, name: str, own: Weights, owner_of: dict[int, str], stored: set[int]) -> None:
    """Put the storages under ``tensor`` that no module holds yet to ``own``."""
    owner = owner_of.setdefault(id(tensor), name)
    if owner != name and owner not in own.shared_with:
        own.shared_with.append(owner)
    parts = (tensor,) if type(tensor) is AbstractTensor else strided_parts(tensor)
    for part in parts:
        identity, size = storage_of(part)
        if identity not in stored:
            stored.add(identity)
            own.size += size


def _unpack(packed: torch.ScriptObject, own: Weights) -> None:
    """Put what a quantized module holds packed to ``own``; none of it can be trained."""
    for pair in unpacked(packed):
        for tensor in pair:
            if tensor is None:
                continue
            nbytes = tensor.numel() * tensor.element_size()
            if tensor.is_quantized and tensor.qscheme() in (torch.per_channel_affine, torch.per_channel_symmetric):
                per_channel = (tensor.q_per_channel_scales(), tensor.q_per_channel_zero_points())
                nbytes += sum(each.numel() * each.element_size() for each in per_channel)
            own.params += tensor.numel()
            own.size += nbytes
            own.packed += nbytes
            own.note(tensor.dtype)
