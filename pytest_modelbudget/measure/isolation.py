"""Measuring changes nothing of the process: random numbers, defaults, flags and environment are put back."""

from __future__ import annotations

import gc
import os
import random
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Any

import torch

_SEED = 0


def without_compiler() -> AbstractContextManager[object]:
    """Compiled functions run as they were written. Where none was compiled the compiler is not loaded."""
    if "torch._dynamo" not in sys.modules:
        return nullcontext()
    return torch.compiler.set_stance("force_eager")  # type: ignore[no-any-return]


def _default_device() -> torch.device | None:
    """The device that was set for all that is made; PyTorch itself tells that of a `with torch.device(...)`, too."""
    context = getattr(torch._GLOBAL_DEVICE_CONTEXT, "device_context", None)
    return None if context is None else context.device


@contextmanager
def undisturbed() -> Iterator[None]:
    """Run the body with fixed random numbers and PyTorch's defaults; then put back what was there.

    The garbage collector is off meanwhile, so that the bytes alive do not depend on when it happens to run.
    """
    numpy: Any = sys.modules.get("numpy")
    numpy_state = numpy.random.get_state() if numpy is not None else None
    python_state = random.getstate()
    folder = Path.cwd()
    collecting = gc.isenabled()
    environment = dict(os.environ)
    devices = list(range(torch.cuda.device_count())) if torch.cuda.is_initialized() else []
    with torch.random.fork_rng(devices), _with_defaults():
        try:
            # Not `torch.manual_seed`: it keeps a call for each device that is not in use yet.
            torch.default_generator.manual_seed(_SEED)
            for device in devices:
                torch.cuda.default_generators[device].manual_seed(_SEED)
            random.seed(_SEED)
            if numpy is not None:
                numpy.random.seed(_SEED)
            gc.disable()
            yield
        finally:
            if collecting:
                gc.enable()
            if os.environ != environment:
                os.environ.clear()
                os.environ.update(environment)
            random.setstate(python_state)
            if numpy is not None:
                numpy.random.set_state(numpy_state)
            with suppress(OSError):
                os.chdir(folder)


@contextmanager
def _with_defaults() -> Iterator[None]:
    """Run the body with PyTorch's defaults; then put back what was there.

    The fused paths of transformer layers are off meanwhile, since they hide the work of one module in another.
    """
    fastpath = torch.backends.mha.get_fastpath_enabled()
    engine = torch.backends.quantized.engine
    dtype = torch.get_default_dtype()
    device = _default_device()
    grad = torch.is_grad_enabled()
    determinism = _determinism()
    threads = torch.get_num_threads()
    try:
        torch.backends.mha.set_fastpath_enabled(False)
        torch.set_default_dtype(torch.float32)
        if device is not None and device.type == "meta":
            # There is nothing to run on where a model needs real tensors.
            torch.set_default_device(None)
        yield
    finally:
        torch.set_default_dtype(dtype)
        if _default_device() != device:
            torch.set_default_device(device)
        torch.set_grad_enabled(grad)
        if _determinism() != determinism:
            torch.use_deterministic_algorithms(determinism[0], warn_only=determinism[1])
        if torch.get_num_threads() != threads:
            torch.set_num_threads(threads)
        if torch.backends.quantized.engine != engine:
            torch.backends.quantized.engine = engine
        torch.backends.mha.set_fastpath_enabled(fastpath)


def _determinism() -> tuple[bool, bool]:
    return torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
