"""The state that every measurement starts from, whatever holds around the call: autocast, modes, transforms, flags."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from typing import Any

import torch

# What can be cast automatically; a list of our own, since PyTorch asks a backend for each that it lists itself.
_AUTOCAST = ("cpu", "cuda", "xpu", "mps", "hpu", "mtia")
_ATTENTION = ("flash", "mem_efficient", "math", "cudnn")


@contextmanager
def usual_state() -> Iterator[None]:
    """Run the body with gradients on, and without any mode, transform, autocast or choice of kernels around it."""
    with ExitStack() as stack:
        for context in _contexts():
            stack.enter_context(context)
        yield


def _contexts() -> Iterator[AbstractContextManager[Any]]:
    if torch._C._len_torch_dispatch_stack():
        yield torch.utils._python_dispatch._disable_current_modes()
    if torch._C._functorch.peek_interpreter_stack() is not None:
        from torch._functorch.pyfunctorch import temporarily_clear_interpreter_stack

        yield temporarily_clear_interpreter_stack()
    if torch._C._get_tracing_state() is not None:
        yield _without_tracing()
    if torch._C._len_torch_function_stack():
        yield _without_function_modes()
    if torch.is_inference_mode_enabled():
        yield torch.inference_mode(False)
    yield torch.enable_grad()
    for device in _AUTOCAST:
        if torch.is_autocast_enabled(device):
            yield torch.autocast(device, enabled=False)
    if not all(_attention_flag(name) for name in _ATTENTION):
        yield _with_all_attention()
    yield _without_saved_tensors_hooks()


def default_device() -> torch.device | None:
    """The device on which tensors are made where none is said: `torch.set_default_device`, `with torch.device(...)`."""
    home = sys.modules.get("torch.utils._device")
    if home is not None:
        for mode in reversed(torch.overrides._get_current_function_mode_stack()):
            if isinstance(mode, home.DeviceContext):
                return mode.device  # type: ignore[no-any-return]
    context = getattr(torch._GLOBAL_DEVICE_CONTEXT, "device_context", None)
    return None if context is None else context.device


@contextmanager
def _without_function_modes() -> Iterator[None]:
    """Run the body without modes that see every function; a default device is kept, unless it has no elements."""
    from torch.utils import _device

    device = default_device()
    shared = torch._GLOBAL_DEVICE_CONTEXT
    context, current = getattr(shared, "device_context", None), _device.CURRENT_DEVICE
    modes = [torch.overrides._pop_mode() for _ in range(torch._C._len_torch_function_stack())]
    shared.device_context = None
    _device.CURRENT_DEVICE = None
    if device is not None and device.type != "meta":
        torch.set_default_device(device)
    try:
        yield
    finally:
        torch.set_default_device(None)
        for _ in range(torch._C._len_torch_function_stack()):
            torch.overrides._pop_mode()
        for mode in reversed(modes):
            torch.overrides._push_mode(mode)
        shared.device_context, _device.CURRENT_DEVICE = context, current


@contextmanager
def _without_tracing() -> Iterator[None]:
    state = torch._C._get_tracing_state()
    torch._C._set_tracing_state(None)  # type: ignore[attr-defined]
    try:
        yield
    finally:
        torch._C._set_tracing_state(state)  # type: ignore[attr-defined]


def _attention_flag(name: str) -> bool:
    return bool(getattr(torch.backends.cuda, f"{name}_sdp_enabled")())


def _set_attention_flag(name: str, enabled: bool) -> None:
    getattr(torch.backends.cuda, f"enable_{name}_sdp")(enabled)


@contextmanager
def _with_all_attention() -> Iterator[None]:
    before = {name: _attention_flag(name) for name in _ATTENTION}
    try:
        for name in _ATTENTION:
            _set_attention_flag(name, True)
        yield
    finally:
        for name, enabled in before.items():
            _set_attention_flag(name, enabled)


def _without_saved_tensors_hooks() -> AbstractContextManager[None]:
    top = getattr(torch._C._autograd, "_top_saved_tensors_default_hooks", None)
    if top is None or top(True) is None:
        return nullcontext()
    return _saved_tensors_hooks_popped(top)


@contextmanager
def _saved_tensors_hooks_popped(top: Any) -> Iterator[None]:
    hooks = []
    while (pair := top(True)) is not None:
        hooks.append(pair)
        torch._C._autograd._pop_saved_tensors_default_hooks()
    try:
        yield
    finally:
        for pack, unpack in reversed(hooks):
            torch._C._autograd._push_saved_tensors_default_hooks(pack, unpack)
