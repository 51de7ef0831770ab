"""A measurement starts from one state, whatever holds around the call, and what holds there goes on as before."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any

import pytest
import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

from pytest_modelbudget import MeasurementError, Profile, measure

INPUT = (2, 5, 8)


class Attending(nn.Module):
    """Looks up positions, draws random numbers in train mode, and attends with a fused kernel."""

    positions: torch.Tensor

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(8, 8)
        self.layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
        self.register_buffer("positions", torch.arange(5))
        self.norm = nn.BatchNorm1d(5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.first(x) + torch.zeros(5)[self.positions][:, None]
        heads = x.view(2, 5, 2, 4).transpose(1, 2)
        x = x + nn.functional.scaled_dot_product_attention(heads, heads, heads).transpose(1, 2).reshape(2, 5, 8)
        return self.norm(self.layer(x))  # type: ignore[no-any-return]


class Dispatching(TorchDispatchMode):
    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        raise AssertionError(f"{func} of a measurement came to a mode around it")


class Functioning(TorchFunctionMode):
    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        # Asked of the surroundings before and after; no operation of a measurement.
        if getattr(func, "__name__", "") in ("linear", "scaled_dot_product_attention", "arange", "empty"):
            raise AssertionError(f"{func} of a measurement came to a mode around it")
        return func(*args, **(kwargs or {}))


@contextlib.contextmanager
def _default_dtype(dtype: torch.dtype) -> Iterator[None]:
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


@contextlib.contextmanager
def _default_device(device: str) -> Iterator[None]:
    torch.set_default_device(device)
    try:
        yield
    finally:
        torch.set_default_device(None)


@contextlib.contextmanager
def _deterministic() -> Iterator[None]:
    torch.use_deterministic_algorithms(True)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(False)


@contextlib.contextmanager
def _all_at_once() -> Iterator[None]:
    with contextlib.ExitStack() as stack:
        for name in ("inference_mode", "autocast", "sdpa: math", "device: meta", "dispatch mode", "fake tensors"):
            stack.enter_context(AROUND[name]())
        yield


AROUND: dict[str, Callable[[], AbstractContextManager[Any]]] = {
    "inference_mode": torch.inference_mode,
    "no_grad": torch.no_grad,
    "autocast": lambda: torch.autocast("cpu", dtype=torch.bfloat16),
    "autocast on another device": lambda: torch.autocast("cuda", dtype=torch.float16),
    "sdpa: math": lambda: sdpa_kernel(SDPBackend.MATH),
    "sdpa: flash": lambda: sdpa_kernel(SDPBackend.FLASH_ATTENTION),
    "fake tensors": FakeTensorMode,
    "dispatch mode": Dispatching,
    "function mode": Functioning,
    "counter of FLOPs": lambda: FlopCounterMode(display=False),
    "device: meta": lambda: torch.device("meta"),
    "device: cpu": lambda: torch.device("cpu"),
    "default device: meta": lambda: _default_device("meta"),
    "default device: cpu": lambda: _default_device("cpu"),
    "default dtype: float64": lambda: _default_dtype(torch.float64),
    "default dtype: bfloat16": lambda: _default_dtype(torch.bfloat16),
    "deterministic": _deterministic,
    "anomalies detected": lambda: torch.autograd.detect_anomaly(check_nan=False),
    "profiler": lambda: torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]),
    "saved tensors": lambda: torch.autograd.graph.saved_tensors_hooks(lambda x: x.clone(), lambda x: x),
    "forward-mode gradients": torch.autograd.forward_ad.dual_level,
    "all at once": _all_at_once,
}


def _state() -> tuple[object, ...]:
    """What holds around a call, without the contents of generators."""
    return (
        torch.is_inference_mode_enabled(),
        torch.is_grad_enabled(),
        [(device, torch.is_autocast_enabled(device), torch.get_autocast_dtype(device)) for device in ("cpu", "cuda")],
        torch.backends.cuda.math_sdp_enabled(),
        torch.backends.cuda.flash_sdp_enabled(),
        torch.backends.cuda.mem_efficient_sdp_enabled(),
        torch.backends.cuda.cudnn_sdp_enabled(),
        [id(mode) for mode in torch.utils._python_dispatch._get_current_dispatch_mode_stack()],
        [id(mode) for mode in torch.overrides._get_current_function_mode_stack()],
        getattr(torch._GLOBAL_DEVICE_CONTEXT, "device_context", None),
        torch.get_default_dtype(),
        torch.are_deterministic_algorithms_enabled(),
        torch.is_anomaly_enabled(),
        torch._C._autograd._top_saved_tensors_default_hooks(True),
        torch._C._functorch.peek_interpreter_stack() is None,
        torch.backends.mha.get_fastpath_enabled(),
    )


@pytest.fixture(scope="module")
def module() -> nn.Module:
    return Attending()


@pytest.fixture(scope="module")
def expected(module: nn.Module) -> dict[tuple[str, str], Profile]:
    return {
        (mode, run): measure(module, INPUT, mode=mode, run=run)
        for mode in ("eval", "train")
        for run in ("abstract", "real")
    }


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("mode", ["eval", "train"])
@pytest.mark.parametrize("run", ["abstract", "real"])
@pytest.mark.parametrize("around", AROUND.values(), ids=AROUND)
def test_what_holds_around_a_call_changes_no_number(
    around: Callable[[], AbstractContextManager[Any]],
    run: Any,
    mode: Any,
    module: nn.Module,
    expected: dict[tuple[str, str], Profile],
) -> None:
    with around():
        before = _state()
        given = measure(module, INPUT, mode=mode, run=run)
        built = measure(Attending, INPUT, mode=mode, run=run)
        assert _state() == before
    assert given == expected[mode, run]
    assert built == expected[mode, run]


def test_what_holds_around_a_failing_call_goes_on() -> None:
    with _all_at_once():
        before = _state()
        with pytest.raises(MeasurementError):
            measure(Attending, (3, 3))
        assert _state() == before


@pytest.mark.filterwarnings("ignore:.*deprecated:FutureWarning", "ignore:.*deprecated:DeprecationWarning")
@pytest.mark.parametrize("run", ["abstract", "real"])
@pytest.mark.parametrize("transform", ["vmap", "grad", "jvp", "functionalize", "compile", "trace"])
def test_within_a_transform_the_numbers_are_the_same(
    transform: str, run: Any, module: nn.Module, expected: dict[tuple[str, str], Profile]
) -> None:
    found: list[Profile] = []

    def function(x: torch.Tensor) -> torch.Tensor:
        found.append(measure(module, INPUT, run=run))
        return x.sum()

    x = torch.zeros(3)
    if transform == "vmap":
        torch.func.vmap(function)(x)
    elif transform == "grad":
        torch.func.grad(function)(x)
    elif transform == "jvp":
        torch.func.jvp(function, (x,), (x,))
    elif transform == "functionalize":
        torch.func.functionalize(function)(x)
    elif transform == "compile":
        torch.compile(function, backend="eager")(x)
    else:
        torch.jit.trace(function, x, check_trace=False)
    assert found == [expected["eval", run]]


def test_a_tensor_of_a_transform_is_refused() -> None:
    model = nn.Linear(2, 2)

    def function(x: torch.Tensor) -> torch.Tensor:
        measure(model, x)
        return x

    with pytest.raises(
        MeasurementError, match="a Tensor of a transform around the call has no storage; measure outside"
    ):
        torch.func.vmap(function)(torch.zeros(3, 1, 2))


def test_autocast_within_a_model_is_its_own_affair() -> None:
    class Casting(nn.Linear):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            with torch.autocast("cpu", dtype=torch.bfloat16):
                out = super().forward(x)
            dtypes.add(str(out.dtype))
            return out

    class Names(set[str]):
        """Is one for all copies of it."""

        def __deepcopy__(self, memo: object) -> Names:
            return self

    dtypes = Names()
    measure(lambda: Casting(4, 4), (3, 4), run="real")
    assert dtypes == {"torch.bfloat16"}
