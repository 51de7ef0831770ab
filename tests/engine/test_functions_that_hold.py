"""A model that functions hold is measured as one that none holds: on its copy, layer by layer, and left as it was."""
# ruff: noqa: PLW0108 - that a function holds another is the point

from __future__ import annotations

import functools
import threading
import types
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from pytest_modelbudget import MeasurementError, Profile, measure
from tests.engine.test_untouched import state_of

INPUT = (3, 4)
# A linear layer of 4 by 4 on 3 rows: 48 MACs.
ROWS = {"": (1, 0), "fc": (1, 48), "norm": (1, 0)}
# Of 4 bytes each: 16 weights, 4 tensors of 4 in the norm, 3·4 of the input and of what each layer gives, and the mean
# and deviation of a batch; and the norm's counter, of 8.
PEAK = 4 * (16 + 4 * 4 + 3 * 12 + 2 * 4) + 8


class Net(nn.Module):
    """Calls its layers by way of a function, where it has one."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(4, 4, bias=False)
        self.norm = nn.BatchNorm1d(4)
        self.by: Any = None
        self.calls = 0

    def run(self, x: torch.Tensor) -> torch.Tensor:
        self.calls += 1
        self.last = x
        return self.norm(self.fc(x))  # type: ignore[no-any-return]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.run(x) if self.by is None else self.by(x)


def rows_of(profile: Profile) -> dict[str, tuple[int, int]]:
    return {name: (layer.calls, layer.macs) for name, layer in profile.layers.items()}


def assert_measured(model: nn.Module, run: Any = "abstract", rows: dict[str, tuple[int, int]] = ROWS) -> None:
    before = state_of(model)
    profile = measure(model, INPUT, mode="train", run=run)
    assert rows_of(profile) == rows
    assert profile.peak_memory == PEAK
    assert state_of(model) == before


# -- what PyTorch and its users put in the place of a forward -----------------------------------------------------


def _compiled() -> nn.Module:
    model = Net()
    model.compile()
    return model


def _compiled_forward() -> nn.Module:
    model = Net()
    model.forward = torch.compile(model.forward)  # type: ignore[method-assign]
    return model


def _compiled_function() -> nn.Module:
    model = Net()

    def run(x: torch.Tensor) -> torch.Tensor:
        return model.run(x)

    model.by = torch.compile(run)
    return model


def _compiled_child_function() -> nn.Module:
    model = Net()
    model.fc.forward = torch.compile(model.fc.forward)  # type: ignore[method-assign]
    return model


def _method_over_the_old_one() -> nn.Module:
    model = Net()
    old = model.forward
    model.forward = types.MethodType(lambda _self, x: old(x), model)  # type: ignore[method-assign]
    return model


def _partial() -> nn.Module:
    model = Net()
    model.forward = functools.partial(Net.forward, model)  # type: ignore[method-assign]
    return model


def _wrapped() -> nn.Module:
    model = Net()
    old = model.forward

    @functools.wraps(old)
    def forward(*args: Any, **kwargs: Any) -> Any:
        return old(*args, **kwargs)

    model.forward = forward  # type: ignore[method-assign]
    return model


def _hooked_as_accelerate_does() -> nn.Module:
    def hook(module: Any) -> None:
        module._old_forward = module.forward

        def forward(module: Any, *args: Any, **kwargs: Any) -> Any:
            return module._old_forward(*args, **kwargs)

        module.forward = functools.update_wrapper(functools.partial(forward, module), module._old_forward)

    model = Net()
    hook(model)
    hook(model.fc)
    return model


def _weakly_held() -> nn.Module:
    model = Net()
    reference = weakref.ref(model)
    model.by = lambda x: reference().run(x)  # type: ignore[union-attr]
    return model


def _weakly_held_by_a_proxy() -> nn.Module:
    model = Net()
    object.__setattr__(model, "me", weakref.proxy(model))
    model.by = lambda x: model.me.run(x)  # type: ignore[operator, union-attr]
    return model


def _cached() -> nn.Module:
    model = Net()
    model.by = functools.lru_cache(lambda x: model.run(x))
    return model


def _keeping_a_tensor_in_a_closure() -> nn.Module:
    model = Net()
    kept: torch.Tensor | None = None

    def run(x: torch.Tensor) -> torch.Tensor:
        nonlocal kept
        kept = x
        return model.run(x)

    model.by = run
    return model


BUILDERS: list[Callable[[], nn.Module]] = [
    *(_compiled, _compiled_forward, _compiled_function, _compiled_child_function, _method_over_the_old_one, _partial),
    *(_wrapped, _hooked_as_accelerate_does, _weakly_held, _weakly_held_by_a_proxy, _cached),
    _keeping_a_tensor_in_a_closure,
]


@pytest.mark.parametrize("run", ["abstract", "real"])
@pytest.mark.parametrize("build", BUILDERS)
def test_a_held_model_is_measured_layer_by_layer(build: Callable[[], nn.Module], run: Any) -> None:
    assert_measured(build(), run)


@pytest.mark.parametrize("run", ["abstract", "real"])
@pytest.mark.parametrize("build", BUILDERS)
def test_a_callable_that_builds_one_gives_the_same(build: Callable[[], nn.Module], run: Any) -> None:
    profile = measure(build, INPUT, mode="train", run=run)
    assert (rows_of(profile), profile.peak_memory) == (ROWS, PEAK)


def test_a_compiled_block_is_measured_layer_by_layer() -> None:
    model = nn.Sequential(Net())
    model[0].compile()
    assert_measured(model, rows={"": (1, 0), "0": (1, 0), "0.fc": (1, 48), "0.norm": (1, 0)})


# -- whatever holds it, and however deep ----------------------------------------------------------------------------


class Held:
    """Holds a function, and calls it."""

    def __init__(self, run: Any) -> None:
        self.run = run

    def __call__(self, x: torch.Tensor) -> Any:
        return self.run(x)


def _by_keyword(run: Any) -> Any:
    def call(x: torch.Tensor, *, run: Any = run) -> Any:
        return run(x)

    return call


def _by_attribute(run: Any) -> Any:
    def call(x: torch.Tensor) -> Any:
        return call.run(x)  # type: ignore[attr-defined]

    call.run = run  # type: ignore[attr-defined]
    return call


def _by_list(run: Any) -> Any:
    held = [{"run": (run,)}]
    return lambda x: held[0]["run"][0](x)


def _by_wraps(run: Any) -> Any:
    def call(x: torch.Tensor) -> Any:
        return call.__wrapped__(x)  # type: ignore[attr-defined]

    call.__wrapped__ = run  # type: ignore[attr-defined]
    return call


def _by_itself(run: Any) -> Any:
    def call(x: torch.Tensor, deep: int = 2) -> Any:
        return call(x, deep - 1) if deep else run(x)

    return call


HOLDERS: list[Callable[[Any], Any]] = [
    lambda run: lambda x: run(x),
    lambda run: lambda x, run=run: run(x),
    *(_by_keyword, _by_attribute, _by_list, _by_wraps, _by_itself, Held),
    lambda run: Held(run).__call__,
    lambda run: functools.partial(lambda run, x: run(x), run),
    functools.lru_cache(maxsize=2),
    lambda run: [run].__getitem__(0),
    lambda run: lambda x, get=[run].__getitem__: get(0)(x),
]


def _weakly(held: Any, get: Callable[[Any], Any]) -> Any:
    return lambda x: get(held).run(x)


ROOTS: list[Callable[[Net], Any]] = [
    lambda model: model.run,
    lambda model: lambda x: model.run(x),
    lambda model: lambda x: model.norm(model.fc(x)),
    lambda model: lambda x, fc=model.fc, norm=model.norm: norm(fc(x)),
    lambda model: functools.partial(Net.run, model),
    lambda model: _weakly(weakref.ref(model), lambda held: held()),
    lambda model: _weakly(weakref.proxy(model), lambda held: held),
    lambda model: _weakly(weakref.WeakMethod(model.run), lambda held: held().__self__),
    lambda model: _weakly(weakref.WeakValueDictionary({"me": model}), lambda held: held["me"]),
    lambda model: _weakly(weakref.WeakSet([model]), lambda held: next(iter(held))),
    lambda model: _weakly(weakref.WeakKeyDictionary({model: 1}), lambda held: next(iter(held))),
]


@settings(max_examples=60)
@given(root=st.sampled_from(ROOTS), holders=st.lists(st.sampled_from(HOLDERS), max_size=4))
def test_a_model_is_its_copy_whatever_holds_it(root: Any, holders: list[Any]) -> None:
    model = Net()
    by = root(model)
    for holder in holders:
        by = holder(by)
    model.by = by
    assert_measured(model)


def _hook(model: Net, kind: str) -> None:
    def before(_module: Any, args: Any) -> Any:
        return (model.norm(args[0]),)

    def before_with(_module: Any, args: Any, kwargs: Any) -> Any:
        return (model.norm(args[0]),), kwargs

    def after(_module: Any, _args: Any, out: Any) -> Any:
        return model.norm(out)

    if kind == "before":
        model.fc.register_forward_pre_hook(before)
    elif kind == "before, with keywords":
        model.fc.register_forward_pre_hook(before_with, with_kwargs=True)
    elif kind == "after":
        model.fc.register_forward_hook(after)
    elif kind == "after, always":
        model.fc.register_forward_hook(after, always_call=True)
    elif kind == "after, a lambda":
        model.fc.register_forward_hook(lambda _module, _args, out: model.norm(out))
    else:
        model.fc.register_forward_hook(types.MethodType(lambda me, _module, _args, out: me.norm(out), model))


@pytest.mark.parametrize("run", ["abstract", "real"])
@pytest.mark.parametrize(
    "kind", ["before", "before, with keywords", "after", "after, always", "after, a lambda", "after, a method"]
)
def test_hooks_run_the_copy(kind: str, run: Any) -> None:
    model = Net()
    _hook(model, kind)
    before = state_of(model)
    profile = measure(model, INPUT, mode="train", run=run)
    assert rows_of(profile) == {**ROWS, "norm": (2, 0)}
    assert state_of(model) == before


def test_what_a_hook_collects_is_not_kept() -> None:
    collected: list[torch.Tensor] = []
    model = nn.Linear(4, 4)
    model.register_forward_hook(lambda _module, _args, out: collected.append(out))
    measure(model, INPUT)
    assert collected == []


def test_functions_that_share_a_cell_share_it_in_the_copy() -> None:
    class Counting(nn.Module):
        add: Callable[[], None]
        get: Callable[[], int]

        def __init__(self) -> None:
            super().__init__()
            count = 0

            def add() -> None:
                nonlocal count
                count += 1

            self.add, self.get = add, lambda: count
            self.layers = nn.ModuleList(nn.Linear(4, 4, bias=False) for _ in range(3))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            self.add()
            self.add()
            return self.layers[self.get()](x)  # type: ignore[no-any-return]

    model = Counting()
    profile = measure(model, INPUT)
    assert [profile.layers[f"layers.{n}"].calls for n in range(3)] == [0, 0, 1]
    assert model.get() == 0


# -- what cannot be made anew: the model itself runs, with what its copy would hold ------------------------------


class Locked:
    """Cannot be copied."""

    def __init__(self, model: nn.Module) -> None:
        self.lock = threading.Lock()
        self.model = model

    def __call__(self, x: torch.Tensor) -> Any:
        return self.model.run(x)  # type: ignore[operator]


def _by_a_global(model: Net) -> None:
    global GLOBAL  # noqa: PLW0603 - that is the case
    GLOBAL = model
    model.by = _run_global


def _run_global(x: torch.Tensor) -> torch.Tensor:
    return GLOBAL.run(x)


GLOBAL: Net


def _by_a_class(model: Net) -> None:
    class Closed(Net):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return model.run(x)

    model.__class__ = Closed


def _by_what_cannot_be_copied(model: Net) -> None:
    model.by = Locked(model)


@pytest.mark.parametrize("run", ["abstract", "real"])
@pytest.mark.parametrize("hold", [_by_a_global, _by_a_class, _by_what_cannot_be_copied])
def test_a_model_that_a_copy_would_use_runs_itself(hold: Callable[[Net], None], run: Any) -> None:
    model = Net()
    hold(model)
    assert_measured(model, run)
    assert not hasattr(model, "last")
    assert model.calls == 0
    model(torch.zeros(INPUT))  # and runs as it did
    assert model.calls == 1


@pytest.mark.parametrize("run", ["abstract", "real"])
def test_so_does_what_a_callable_gives(run: Any) -> None:
    def build() -> nn.Module:
        model = Net()
        _by_a_global(model)
        return model

    profile = measure(build, INPUT, mode="train", run=run)
    assert (rows_of(profile), profile.peak_memory) == (ROWS, PEAK)


# ptflops counts for one of a batch.
@pytest.mark.parametrize(("counter", "macs"), [("thop", 48), ("ptflops", 16)])
def test_so_does_a_model_that_another_tool_counts(counter: str, macs: int) -> None:
    pytest.importorskip(counter)
    model = Net()
    _by_what_cannot_be_copied(model)
    before = state_of(model)
    assert measure(model, INPUT, counter=counter).layers["fc"].macs == macs
    assert state_of(model) == before


@pytest.mark.parametrize("raises", [False, True])
def test_a_model_that_runs_itself_is_put_back_as_it_was(raises: bool) -> None:
    class Collecting(Net):
        seen: list[torch.Tensor]

        def run(self, x: torch.Tensor) -> torch.Tensor:
            self.seen.append(x)
            self.norm.running_mean = x.mean(0)
            out = super().run(x)
            if raises:
                raise RuntimeError("half way")
            return out

    model = Collecting()
    model.seen = []
    _by_a_global(model)
    before, held = state_of(model), vars(model)
    try:
        measure(model, INPUT)
    except MeasurementError as error:
        assert raises, error  # noqa: PT017
    assert vars(model) is held
    assert state_of(model) == before
    assert model.seen == []


def test_work_without_tensors_of_its_own_is_seen_too() -> None:
    class Product(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x @ x.T

    class Outer(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.product = Product()
            self.locked = Locked(self)

        def run(self, x: torch.Tensor) -> Any:
            return self.product(x)

        def forward(self, x: torch.Tensor) -> Any:
            return self.locked(x)

    # 3·4 by 4·3: 36.
    assert rows_of(measure(Outer(), INPUT)) == {"": (1, 0), "product": (1, 36)}


def test_a_tensor_that_only_a_global_holds_is_refused() -> None:
    model = nn.Linear(4, 4)
    tensors = {"weight": model.weight}
    held = types.MappingProxyType(tensors)

    class Closed(nn.Linear):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x @ held["weight"]

    model.__class__ = Closed
    before = state_of(model)
    with pytest.raises(MeasurementError) as caught:
        measure(model, INPUT)
    line = Closed.forward.__code__.co_firstlineno + 1
    assert str(caught.value) == (
        'the forward pass uses the tensor "weight" of the model that was given, not of its copy, in forward '
        f"(test_functions_that_hold.py:{line}), and so cannot be measured without changing it; "
        "let it reach its tensors through self"
    )
    assert state_of(model) == before


OUTSIDE = nn.BatchNorm1d(4)


@pytest.mark.parametrize("run", ["abstract", "real"])
def test_a_module_outside_of_the_model_is_not_written_to(run: Any) -> None:
    class Reaching(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return OUTSIDE(x)  # type: ignore[no-any-return]

    before = state_of(OUTSIDE)
    with pytest.raises(MeasurementError) as caught:
        measure(Reaching(), INPUT, mode="train", run=run)
    line = Reaching.forward.__code__.co_firstlineno + 1
    assert str(caught.value) == (
        'the forward pass writes to "num_batches_tracked" of a BatchNorm1d that is no part of the model, in forward '
        f"(test_functions_that_hold.py:{line}), and so would change it; make it an attribute of a module of the model"
    )
    assert state_of(OUTSIDE) == before


@pytest.mark.parametrize("run", ["abstract", "real"])
def test_what_is_made_in_the_forward_pass_can_be_written_to(run: Any) -> None:
    class Making(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            counter = torch.from_numpy(np.zeros(3))
            counter.add_(1)
            return nn.BatchNorm1d(4)(x)  # type: ignore[no-any-return]

    assert rows_of(measure(Making(), INPUT, mode="train", run=run)) == {"": (1, 0)}
