"""Measuring leaves the model and the process exactly as they were."""

from __future__ import annotations

import gc
import pickle
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from pytest_modelbudget import MeasurementError, measure


class Counting(nn.Module):
    """Keeps state outside its tensors: a list that its forward appends to, a counter, a cached tensor."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Linear(4, 4)
        self.seen: list[tuple[int, ...]] = []
        self.calls = 0
        self.cache: torch.Tensor | None = None
        self.unregistered = [nn.Linear(4, 4)]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.seen.append(tuple(x.shape))
        self.calls += 1
        self.cache = x
        return self.unregistered[0](self.inner(x))  # type: ignore[no-any-return]


class Failing(nn.Module):
    """Changes itself, then raises."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.norm(x)
        self.extra = x
        raise RuntimeError("half way")


def _partly_frozen() -> nn.Module:
    model = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4), nn.Dropout(0.5), nn.Linear(4, 4))
    model[0].requires_grad_(False)
    model[1].eval()
    model(torch.zeros(3, 4)).sum().backward()
    return model


def _count_calls(module: nn.Module, _args: object, _out: object) -> None:
    module.hook_calls = getattr(module, "hook_calls", 0) + 1  # type: ignore[assignment]


def _hooked() -> nn.Module:
    model = nn.Sequential(nn.Linear(4, 4), nn.LSTM(4, 4))
    model[0].register_forward_hook(_count_calls)
    return model


def _weight_norm() -> nn.Module:
    normed: nn.Module = nn.utils.parametrizations.weight_norm(nn.Linear(4, 4))
    return normed


BUILDERS: list[Callable[[], nn.Module]] = [Counting, Failing, _partly_frozen, _hooked, _weight_norm]


def state_of(model: nn.Module) -> list[object]:
    """All that a user can see of a model."""
    state: list[object] = []
    for name, module in model.named_modules():
        hooks = [len(table) for key, table in vars(module).items() if key.endswith("hooks") and table is not None]
        plain = {k: repr(v) for k, v in vars(module).items() if not k.startswith("_")}
        state.append((name, type(module), sorted(vars(module)), module.training, hooks, plain))
    for name, tensor in model.state_dict(keep_vars=True).items():
        grad = None if tensor.grad is None else tensor.grad.tolist()
        state.append((name, id(tensor), tensor.tolist(), tensor.requires_grad, grad, tensor._version))
    return state


@pytest.mark.parametrize("run", ["abstract", "real"])
@pytest.mark.parametrize("mode", ["eval", "train"])
@pytest.mark.parametrize("build", BUILDERS)
def test_a_given_model_is_the_same_afterwards(build: Callable[[], nn.Module], mode: Any, run: Any) -> None:
    model = build()
    before = state_of(model)
    try:
        measure(model, (3, 4), mode=mode, run=run)
    except MeasurementError:
        assert build is Failing
    assert state_of(model) == before


@pytest.mark.parametrize("counter", ["thop", "ptflops", "fvcore"])
@pytest.mark.parametrize("build", BUILDERS)
def test_a_given_model_is_the_same_after_another_tool(build: Callable[[], nn.Module], counter: str) -> None:
    if counter != "thop":
        pytest.importorskip(counter)
    model = build()
    before = state_of(model)
    try:
        measure(model, (3, 4), counter=counter)
    except MeasurementError:
        # fvcore traces no module that is not registered.
        assert build is Failing or (build is Counting and counter == "fvcore")
    assert state_of(model) == before


@pytest.mark.parametrize("build", [_partly_frozen, _hooked])
def test_a_measured_model_can_be_pickled_and_runs(build: Callable[[], nn.Module]) -> None:
    model = build()
    measure(model, (3, 4))
    again = pickle.loads(pickle.dumps(model))
    again(torch.zeros(3, 4))


@pytest.mark.parametrize("run", ["abstract", "real"])
def test_given_inputs_are_the_same_afterwards(run: Any) -> None:
    class Writing(nn.Module):
        def forward(self, x: torch.Tensor, ids: torch.Tensor) -> torch.Tensor:
            x.add_(1)
            ids.add_(1)
            return x

    x, ids = torch.zeros(3), torch.zeros(3, dtype=torch.int64)
    measure(Writing(), (x, ids), run=run)
    assert x.tolist() == [0, 0, 0]
    assert ids.tolist() == [0, 0, 0]


class Disturbing(nn.Module):
    """Draws random numbers, and changes what holds for the whole process."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(7)
        random.seed(7)
        np.random.seed(7)
        torch.set_default_dtype(torch.float64)
        torch.set_default_device("cpu")
        torch.backends.mha.set_fastpath_enabled(False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        torch.set_grad_enabled(False)
        return x * torch.rand(3) * random.random()


@pytest.mark.parametrize("inputs", [(3,), torch.zeros(4)], ids=["passing", "failing"])
def test_the_process_is_the_same_afterwards(inputs: Any) -> None:
    def state() -> tuple[object, ...]:
        return (
            torch.get_rng_state().tolist(),
            random.getstate(),
            str(np.random.get_state()),
            torch.get_default_dtype(),
            getattr(torch._GLOBAL_DEVICE_CONTEXT, "device_context", None),
            torch.backends.mha.get_fastpath_enabled(),
            torch.is_grad_enabled(),
            gc.isenabled(),
            Path.cwd(),
        )

    before = state()
    try:
        measure(Disturbing, inputs, run="real")
    except MeasurementError:
        assert isinstance(inputs, torch.Tensor)
    assert state() == before


def test_measuring_twice_gives_the_same() -> None:
    model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.Dropout(), nn.Flatten(), nn.Linear(512, 4))
    first = measure(model, (1, 3, 10, 10), mode="train")
    assert measure(model, (1, 3, 10, 10), mode="train") == first


def test_layers_dropped_at_random_are_dropped_alike() -> None:
    class Dropping(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layers = nn.ModuleList(nn.Linear(4, 4) for _ in range(20))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            for layer in self.layers:
                if random.random() < 0.5 and torch.rand(()).item() < 0.5:
                    x = layer(x)
            return x

    model = Dropping()
    assert len({measure(model, (1, 4), mode="train").macs for _ in range(5)}) == 1
