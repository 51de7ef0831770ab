"""Modules that are no plain ones: exported, traced, sharded over processes, with slots; and inputs in any mapping."""

from __future__ import annotations

import types
from collections import UserDict
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest
import torch
from torch import nn

from pytest_modelbudget import MeasurementError, measure

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*deprecated:FutureWarning", "ignore:.*deprecated:DeprecationWarning"),
]


def _build() -> nn.Module:
    return nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 8))


INPUT = (4, 8)
# 8·16 + 16 and 16·8 + 8 weights; two products of 4·8·16.
PARAMS, MACS = 280, 1024
LAYERS = {"": (1, 0), "0": (1, 512), "1": (1, 0), "2": (1, 512)}


def _rows(profile: Any) -> dict[str, tuple[int, int]]:
    return {name: (layer.calls, layer.macs) for name, layer in profile.layers.items()}


class Slotted(nn.Module):
    """Keeps attributes outside of its dict."""

    __slots__ = ("__hidden", "empty", "layers", "scale")

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(8, 8, bias=False)
        self.scale = 2
        self.layers = [self.fc]
        self.__hidden = self.fc

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.scale += 1
        return self.__hidden(self.layers[0](x)) * self.scale  # type: ignore[no-any-return]


@pytest.mark.parametrize("run", ["abstract", "real"])
def test_a_module_with_slots_is_copied_whole(run: Any) -> None:
    model = Slotted()
    # Two calls of 4·8·8.
    assert _rows(measure(model, INPUT, run=run)) == {"": (1, 0), "fc": (2, 512)}
    assert model.scale == 2
    assert not hasattr(model, "empty")


def test_slots_of_a_module_that_runs_itself_are_put_back() -> None:
    model = Slotted()
    held = types.MappingProxyType({"model": model})  # cannot be copied
    model.fc.register_forward_hook(lambda _module, _args, out: out * held["model"].fc.weight.sum())
    assert measure(model, INPUT).layers["fc"].calls == 2
    assert model.scale == 2


@pytest.mark.parametrize(
    ("make", "kind"),
    [
        (
            lambda: torch.jit.trace(_build(), torch.zeros(INPUT)),
            "traced module, whose forward pass cannot be followed; ",
        ),
        (lambda: torch.jit.script(_build()), "scripted module, whose forward pass cannot be followed; "),
    ],
    ids=["trace", "script"],
)
def test_a_compiled_program_is_refused_by_its_name(make: Callable[[], nn.Module], kind: str) -> None:
    maker = "torch.jit.trace" if kind.startswith("traced") else "torch.jit.script"
    with pytest.raises(MeasurementError, match=f"{kind}measure the module that was given to {maker}"):
        measure(make(), INPUT)


class Pairs(Mapping[str, Any]):
    """A mapping that is no dict."""

    def __init__(self, pairs: dict[str, Any]) -> None:
        self._pairs = pairs

    def __getitem__(self, name: str) -> Any:
        return self._pairs[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._pairs)

    def __len__(self) -> int:
        return len(self._pairs)


class Named(nn.Linear):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(x)


@pytest.mark.parametrize("kind", [dict, Pairs, UserDict])
def test_any_mapping_gives_keyword_arguments(kind: Any) -> None:
    assert measure(Named(8, 8, bias=False), kind({"x": torch.zeros(INPUT)})).macs == 4 * 8 * 8


def test_what_a_tokenizer_gives_is_passed_by_keyword() -> None:
    transformers = pytest.importorskip("transformers")
    given = transformers.BatchEncoding({"x": torch.zeros(INPUT)})
    assert measure(Named(8, 8, bias=False), given).macs == 4 * 8 * 8


def test_a_mapping_with_other_keys_is_refused() -> None:
    with pytest.raises(ValueError, match="has the names of keyword arguments as its keys"):
        measure(Named(8, 8), UserDict({1: torch.zeros(INPUT)}))


class Writing(nn.Module):
    """Writes where the shapes do not fit."""

    def __init__(self, write: Callable[[torch.Tensor, torch.Tensor], Any]) -> None:
        super().__init__()
        self.write = write

    def forward(self, x: torch.Tensor, y: torch.Tensor) -> Any:
        return self.write(x, y)


WRITES: list[Callable[[torch.Tensor, torch.Tensor], Any]] = [
    lambda x, y: x.add_(y),
    lambda x, y: x.mul_(y),
    lambda x, y: x.copy_(y),
    lambda x, y: x[:, :3].copy_(y),
    lambda x, y: x.index_copy_(0, torch.tensor([0]), y),
    lambda x, y: x.index_add_(0, torch.tensor([0, 1]), y),
    lambda x, _: x.masked_fill_(torch.zeros(7, dtype=torch.bool), 1),
    lambda x, y: x.addmm_(x, y),
    lambda x, y: x.clamp_(y),
    lambda x, y: torch.addcmul(x, x, y),
    lambda x, y: x.lerp_(y, 0.5),
    lambda x, y: x.t_().matmul(y),
]


@pytest.mark.parametrize("write", WRITES)
def test_a_write_that_does_not_fit_is_told_as_on_real_tensors(
    write: Callable[[torch.Tensor, torch.Tensor], Any],
) -> None:
    told = []
    for run in ("abstract", "real"):
        with pytest.raises(MeasurementError) as caught:
            measure(Writing(write), (torch.zeros(4, 8), torch.zeros(5, 2)), run=run)
        told.append(str(caught.value))
    assert told[0] == told[1]
    assert "Please clone()" not in told[0]


# -- exported programs -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["eval", "train"])
@pytest.mark.parametrize("run", ["abstract", "real"])
def test_an_exported_module_is_measured(run: Any, mode: Any) -> None:
    model = torch.export.export(_build(), (torch.zeros(INPUT),)).module()
    training = [module.training for module in model.modules()]
    profile = measure(model, INPUT, run=run, mode=mode)
    assert (profile.params, profile.macs, profile.mode) == (PARAMS, MACS, mode)
    assert [module.training for module in model.modules()] == training


# -- sharded over processes ------------------------------------------------------------------------------------------


@pytest.fixture
def mesh(request: pytest.FixtureRequest) -> Iterator[Any]:
    """Two processes, of which the other one is not there: its part of every exchange is left out."""
    distributed = pytest.importorskip("torch.distributed")
    store = pytest.importorskip("torch.testing._internal.distributed.fake_pg").FakeStore()
    from torch.distributed.device_mesh import init_device_mesh

    processes = getattr(request, "param", 2)
    distributed.init_process_group("fake", store=store, rank=0, world_size=processes)
    yield init_device_mesh("cpu", (processes,))
    distributed.destroy_process_group()


def _fully_sharded(mesh: Any) -> nn.Module:
    from torch.distributed.fsdp import fully_shard

    model: Any = _build()
    fully_shard(model[0], mesh=mesh)
    fully_shard(model, mesh=mesh)
    return model  # type: ignore[no-any-return]


def _tensor_parallel(mesh: Any) -> nn.Module:
    from torch.distributed.tensor.parallel import ColwiseParallel, RowwiseParallel, parallelize_module

    return parallelize_module(_build(), mesh, {"0": ColwiseParallel(), "2": RowwiseParallel()})


@pytest.mark.parametrize("shard", [_fully_sharded, _tensor_parallel])
def test_a_sharded_model_is_measured_whole(mesh: Any, shard: Callable[[Any], nn.Module]) -> None:
    model = shard(mesh)
    kinds = [type(module) for module in model.modules()]
    whole = measure(_build(), INPUT)
    assert _rows(whole) == LAYERS
    assert measure(model, INPUT) == whole
    assert measure(lambda: shard(mesh), INPUT) == whole
    assert [type(module) for module in model.modules()] == kinds
    assert measure(model, INPUT) == whole


@pytest.mark.parametrize("shard", [_fully_sharded, _tensor_parallel])
def test_a_sharded_model_is_refused_on_real_tensors(mesh: Any, shard: Callable[[Any], nn.Module]) -> None:
    with pytest.raises(MeasurementError) as caught:
        measure(shard(mesh), INPUT, run="real")
    assert str(caught.value) == (
        "a run on real tensors needs all elements of a tensor of 16×8, and this process has a shard of 8×8; "
        "measure the model as it is before it is sharded, or a callable that builds it so"
    )


@pytest.mark.parametrize("mesh", [1], indirect=True)
def test_what_one_process_holds_whole_runs_on_real_tensors(mesh: Any) -> None:
    assert _rows(measure(_fully_sharded(mesh), INPUT, run="real")) == LAYERS


def test_an_input_that_is_a_shard_is_taken_whole(mesh: Any) -> None:
    from torch.distributed.tensor import Shard, distribute_tensor

    given = distribute_tensor(torch.zeros(INPUT), mesh, [Shard(0)])
    assert measure(_build(), given) == measure(_build(), INPUT)
