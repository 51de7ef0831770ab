"""thop, ptflops and fvcore as counters: their own numbers, and nothing of theirs left behind."""

from __future__ import annotations

import io
import re
import sys
import warnings
from collections.abc import Callable
from contextlib import redirect_stdout
from functools import partial
from typing import Any

import pytest
import torch
from torch import nn
from torchvision import models

from pytest_modelbudget import MeasurementError, measure

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    thop_profile = pytest.importorskip("thop.profile", exc_type=ImportError)
ptflops = pytest.importorskip("ptflops")
fvcore_nn = pytest.importorskip("fvcore.nn")

Counts = dict[str, float]
TOOLS = ("thop", "ptflops", "fvcore")
IMAGES: dict[str, tuple[Callable[..., Any], int]] = {
    "alexnet": (models.alexnet, 64),
    "densenet121": (models.densenet121, 64),
    "efficientnet_b0": (models.efficientnet_b0, 64),
    "googlenet": (partial(models.googlenet, init_weights=False), 64),
    "mnasnet0_5": (models.mnasnet0_5, 64),
    "mobilenet_v2": (models.mobilenet_v2, 64),
    "regnet_y_400mf": (models.regnet_y_400mf, 64),
    "resnet18": (models.resnet18, 64),
    "shufflenet_v2_x1_0": (models.shufflenet_v2_x1_0, 64),
    "squeezenet1_1": (models.squeezenet1_1, 64),
    "swin_t": (models.swin_t, 64),
    "vit_b_16": (models.vit_b_16, 224),
}


# -- the tools themselves, called as their users call them


def call_thop(model: nn.Module, x: torch.Tensor) -> tuple[float, Counts]:
    total, _, tree = sys.modules["thop.profile"].profile(model, inputs=(x,), verbose=False, ret_layer_info=True)
    counts: Counts = {}

    def take(below: dict[str, Any], prefix: str) -> None:
        for name, (ops, _, inner) in below.items():
            counts[prefix + name] = ops
            take(inner, f"{prefix}{name}.")

    take(tree, "")
    return total, counts


def call_ptflops(model: nn.Module, x: torch.Tensor) -> tuple[float, Counts]:
    printed = io.StringIO()
    settings = {"as_strings": False, "flops_units": "Mac", "ost": printed, "verbose": False}
    total, _ = ptflops.get_model_complexity_info(model, (1,), input_constructor=lambda _: x, **settings)
    # One number a module, in the order in which `print(model)` shows them.
    numbers = re.findall(r"([\d.e+]+) Mac,", printed.getvalue())
    modules = model.named_modules(remove_duplicate=False)
    names = [name for name, module in modules if "__repr__" not in vars(type(module))]
    counts = dict(zip(names, map(float, numbers), strict=True))
    del counts[""]  # without the functions that it counts outside of modules
    return total, counts


def call_fvcore(model: nn.Module, x: torch.Tensor) -> tuple[float, Counts]:
    analysis = fvcore_nn.FlopCountAnalysis(model, (x,))
    analysis.unsupported_ops_warnings(False).uncalled_modules_warnings(False).tracer_warnings("none")
    return analysis.total(), dict(analysis.by_module())


CALLS = {"thop": call_thop, "ptflops": call_ptflops, "fvcore": call_fvcore}


@pytest.mark.parametrize("tool", TOOLS)
@pytest.mark.parametrize("name", IMAGES)
@pytest.mark.filterwarnings("ignore")
def test_a_counter_gives_the_numbers_of_its_tool(name: str, tool: str) -> None:
    build, size = IMAGES[name]
    total, counts = CALLS[tool](build().eval(), torch.rand(2, 3, size, size))
    profile = measure(build, (2, 3, size, size), counter=tool)
    assert (profile.macs, profile.counter) == (total, tool)
    assert {layer: profile[layer].macs for layer in counts} == counts


# The field's own numbers for AlexNet: one image of two sizes, and eight images.
@pytest.mark.parametrize(
    ("tool", "shape", "macs"),
    [
        ("thop", (1, 3, 224, 224), 714_206_912),
        ("thop", (1, 3, 512, 512), 3_707_400_128),
        ("thop", (8, 3, 224, 224), 5_713_655_296),
        ("ptflops", (1, 3, 224, 224), 716_441_128),
    ],
)
def test_the_numbers_that_papers_quote(tool: str, shape: tuple[int, ...], macs: int) -> None:
    profile = measure(models.alexnet, shape, counter=tool)
    assert (profile.macs, profile.params, profile.run) == (macs, 61_100_840, "abstract")


# vit_b_16 on one image, as the tools were found to count it.
@pytest.mark.parametrize(
    ("tool", "macs"), [("thop", 11_286_254_592), ("ptflops", 17_606_030_584), ("fvcore", 16_867_412_736)]
)
def test_what_they_make_of_attention(tool: str, macs: int) -> None:
    assert measure(models.vit_b_16, (1, 3, 224, 224), counter=tool).macs == macs


def test_all_else_is_the_same_whatever_counts() -> None:
    ours = measure(models.resnet18, (1, 3, 64, 64))
    for tool in TOOLS:
        theirs = measure(models.resnet18, (1, 3, 64, 64), counter=tool)
        for key in ("params", "trainable_params", "size", "activations", "peak_memory"):
            assert getattr(theirs, key) == getattr(ours, key)


# -- nothing is left behind


class Failing(nn.Module):
    """Counts something, then raises."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(4, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        torch.nn.functional.relu(self.linear(x) + x)
        raise RuntimeError("half way")


def functions() -> dict[str, object]:
    """What these tools patch, and all beside it."""
    owners = {"F": nn.functional, "torch": torch, "Tensor": torch.Tensor}
    return {
        f"{name}.{key}": value
        for name, owner in owners.items()
        for key, value in vars(owner).items()
        if callable(value) and not key.startswith("_")
    }


def attributes(model: nn.Module) -> dict[str, dict[str, object]]:
    """The attributes of each module; of tables, such as those of hooks and buffers, the keys."""
    return {
        name: {key: list(value) if isinstance(value, dict) else id(value) for key, value in vars(module).items()}
        for name, module in model.named_modules()
    }


def test_each_counter_in_turn_leaves_the_model_and_the_process_alone() -> None:
    model = models.resnet18().train()
    model.layer1.eval()
    x = torch.rand(1, 3, 64, 64)
    counts = {tool: measure(model, x, counter=tool).macs for tool in ("aten", *TOOLS)}
    before, patched, keys = attributes(model), functions(), list(model.state_dict())
    for tool in ("aten", *TOOLS):
        with pytest.raises(MeasurementError, match="half way"):
            measure(Failing(), (1, 4), counter=tool)
        for other in ("aten", *TOOLS):
            assert measure(model, x, counter=other).macs == counts[other]
    assert attributes(model) == before
    assert list(model.state_dict()) == keys
    assert functions() == patched


def test_what_a_tool_prints_and_warns_of_stays_out(capfd: pytest.CaptureFixture[str]) -> None:
    for tool in TOOLS:
        measure(models.resnet18, (1, 3, 64, 64), counter=tool)
        with pytest.raises(MeasurementError):
            measure(Failing(), (1, 4), counter=tool)
    assert capfd.readouterr() == ("", "")


# -- inputs of every form


class TwoInputs(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.left, self.right = nn.Linear(4, 8), nn.Linear(6, 8)

    def forward(self, left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.left(left) + self.right(right)
        return out


class NamedOnly(nn.Module):
    def forward(self, left: torch.Tensor, *, right: torch.Tensor) -> torch.Tensor:
        return left @ right.T[:4]


LEFT, RIGHT = torch.rand(3, 4), torch.rand(3, 6)


@pytest.mark.parametrize("inputs", [(LEFT, RIGHT), {"left": LEFT, "right": RIGHT}, {"right": RIGHT, "left": LEFT}])
@pytest.mark.parametrize(("tool", "macs"), [("thop", 240), ("fvcore", 240)])
def test_positional_and_keyword_arguments(tool: str, macs: int, inputs: Any) -> None:
    # 3·(4·8 + 6·8)
    assert measure(TwoInputs(), inputs, counter=tool).macs == macs


@pytest.mark.parametrize("inputs", [(LEFT, RIGHT), {"left": LEFT, "right": RIGHT}])
def test_ptflops_takes_them_by_name(inputs: Any) -> None:
    model = TwoInputs()
    with redirect_stdout(io.StringIO()):
        direct, _ = ptflops.get_model_complexity_info(
            model,
            (1,),
            as_strings=False,
            print_per_layer_stat=False,
            input_constructor=lambda _: {"left": LEFT, "right": RIGHT},
        )
    assert measure(model, inputs, counter="ptflops").macs == direct


@pytest.mark.parametrize("tool", ["thop", "fvcore"])
def test_an_argument_that_a_tool_cannot_give_is_named(tool: str) -> None:
    with pytest.raises(MeasurementError, match=f"{tool} calls a model with positional arguments alone, and right"):
        measure(NamedOnly(), {"left": LEFT, "right": RIGHT}, counter=tool)


# -- what cannot be had


@pytest.mark.parametrize("tool", ["ptflops", "fvcore"])
def test_a_missing_tool_is_one_sentence_that_names_the_extra(tool: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [each for each in sys.modules if each.partition(".")[0] == tool]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.delitem(sys.modules, f"pytest_modelbudget.engine.counters.{tool}_", raising=False)
    monkeypatch.setitem(sys.modules, tool, None)
    message = rf"^the counter \"{tool}\" needs {tool}\S*, which is not installed; pip install {tool}$"
    with pytest.raises(MeasurementError, match=message):
        measure(nn.Linear(4, 4), (1, 4), counter=tool)


def test_fvcore_needs_real_tensors() -> None:
    with pytest.raises(MeasurementError, match="fvcore runs models on real tensors only"):
        measure(nn.Linear(4, 4), (1, 4), counter="fvcore", run="abstract")


def test_a_model_that_needs_values_is_counted_on_real_tensors() -> None:
    class Choosing(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.linear = nn.Linear(4, 4)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            out: torch.Tensor = self.linear(x)
            return self.linear(out) if out.sum().item() < 1e9 else out

    profile = measure(Choosing(), (1, 4), counter="thop")
    assert (profile.macs, profile.run) == (32, "real")


def test_which_thop_it_is_is_recorded(monkeypatch: pytest.MonkeyPatch) -> None:
    import importlib.metadata

    monkeypatch.delitem(sys.modules, "pytest_modelbudget.engine.counters.thop_", raising=False)
    monkeypatch.setattr(importlib.metadata, "packages_distributions", lambda: {"thop": ["ultralytics-thop"]})
    assert measure(nn.Linear(4, 4), (1, 4), counter="thop").counter == "ultralytics-thop"
    monkeypatch.delitem(sys.modules, "pytest_modelbudget.engine.counters.thop_")
