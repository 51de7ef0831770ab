"""Measuring changes nothing of the process: random numbers, defaults, flags and environment are put back."""

from __future__ import annotations

import functools
import gc
import os
import random
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import torch

from pytest_modelbudget.engine.ambient import default_device, usual_state
from pytest_modelbudget.engine.draws import devices_in_use, seed_all

P = ParamSpec("P")
T = TypeVar("T")


def without_compiler() -> AbstractContextManager[object]:
    """Compiled functions run as they were written. Where none was compiled the compiler is not loaded."""
    if "torch._dynamo" not in sys.modules:
        return nullcontext()
    return torch.compiler.set_stance("force_eager")  # type: ignore[no-any-return]


class _Turn:
    """Flags and generators belong to the process: one thread measures at a time, and may measure within that."""

    def __init__(self) -> None:
        self.lock = threading.RLock()

    def renew(self) -> None:
        """In a forked process no other thread measures, whoever held the lock."""
        self.lock = threading.RLock()


_turn = _Turn()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_turn.renew)


def in_turn(measuring: Callable[P, T]) -> Callable[P, T]:
    """A function that one thread runs at a time, and that a compiler around it does not look into."""

    @functools.wraps(measuring)
    def waiting(*args: P.args, **kwargs: P.kwargs) -> T:
        with _turn.lock:
            if "torch._dynamo" not in sys.modules:
                return measuring(*args, **kwargs)
            return torch.compiler.disable(measuring)(*args, **kwargs)  # type: ignore[no-any-return]

    return waiting


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
    with usual_state(), torch.random.fork_rng(devices_in_use()), _with_defaults():
        try:
            seed_all()
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
    device = default_device()
    grad = torch.is_grad_enabled()
    determinism = _determinism()
    threads = torch.get_num_threads()
    try:
        torch.backends.mha.set_fastpath_enabled(False)
        torch.set_default_dtype(torch.float32)
        if determinism[0]:
            torch.use_deterministic_algorithms(False)
        yield
    finally:
        torch.set_default_dtype(dtype)
        if default_device() != device:
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
