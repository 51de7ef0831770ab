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


@contextmanager
def undisturbed() -> Iterator[None]:
    """Run the body with fixed random numbers and PyTorch's defaults; then put back what was there.

    The fused paths of transformer layers are off meanwhile, since they hide the work of one module in another.
    The garbage collector is off too, so that the bytes alive do not depend on when it happens to run.
    """
    numpy: Any = sys.modules.get("numpy")
    numpy_state = numpy.random.get_state() if numpy is not None else None
    python_state = random.getstate()
    folder = Path.cwd()
    fastpath = torch.backends.mha.get_fastpath_enabled()
    engine = torch.backends.quantized.engine
    dtype = torch.get_default_dtype()
    collecting = gc.isenabled()
    default_device = torch.get_default_device()
    grad = torch.is_grad_enabled()
    determinism = _determinism()
    threads = torch.get_num_threads()
    environment = dict(os.environ)
    devices = list(range(torch.cuda.device_count())) if torch.cuda.is_initialized() else []
    with torch.random.fork_rng(devices):
        try:
            # Not `torch.manual_seed`: it keeps a call for each device that is not in use yet.
            torch.default_generator.manual_seed(_SEED)
            for device in devices:
                torch.cuda.default_generators[device].manual_seed(_SEED)
            random.seed(_SEED)
            if numpy is not None:
                numpy.random.seed(_SEED)
            torch.backends.mha.set_fastpath_enabled(False)
            torch.set_default_dtype(torch.float32)
            gc.disable()
            yield
        finally:
            if collecting:
                gc.enable()
            torch.set_default_dtype(dtype)
            if torch.get_default_device() != default_device:
                # A default device is looked up at each tensor that is made; that of the start costs nothing.
                torch.set_default_device(None if default_device.type == "cpu" else default_device)
            torch.set_grad_enabled(grad)
            if _determinism() != determinism:
                torch.use_deterministic_algorithms(determinism[0], warn_only=determinism[1])
            if torch.get_num_threads() != threads:
                torch.set_num_threads(threads)
            if os.environ != environment:
                os.environ.clear()
                os.environ.update(environment)
            if torch.backends.quantized.engine != engine:
                torch.backends.quantized.engine = engine
            torch.backends.mha.set_fastpath_enabled(fastpath)
            random.setstate(python_state)
            if numpy is not None:
                numpy.random.set_state(numpy_state)
            with suppress(OSError):
                os.chdir(folder)


def _determinism() -> tuple[bool, bool]:
    return torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
