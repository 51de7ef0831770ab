"""Why real tools count otherwise, over models, batches and ways to pass inputs: reasons add up, and none is made up."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812

from pytest_modelbudget import Profile
from pytest_modelbudget.engine.run_cache import Measurements
from pytest_modelbudget.profile.crosscheck import Comparison, compare
from pytest_modelbudget.settings.pyproject import parse

COUNTERS = ("thop", "ptflops", "fvcore")


class Plain(nn.Module):
    """Convolution to 4·6·6 elements an image, norm, activation, pooling, a linear layer, a function and a product."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.norm = nn.BatchNorm2d(4)
        self.act = nn.ReLU()
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(4, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.fc(self.pool(self.act(self.norm(self.conv(x)))).flatten(1))
        out: torch.Tensor = F.relu(x) @ torch.ones(5, 5)
        return out


class Attending(nn.Module):
    """Attention by hand, in a module of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.query, self.key, self.value = (nn.Linear(8, 8, bias=at > 0) for at in range(3))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        weights = F.softmax(torch.matmul(self.query(x), self.key(x).transpose(1, 2)), dim=-1)
        return torch.matmul(weights, self.value(x))


class Encoding(nn.Module):
    """A layer of a transformer, whose attention is PyTorch's own."""

    def __init__(self) -> None:
        super().__init__()
        self.attend = nn.MultiheadAttention(8, 2, batch_first=True)
        self.norm, self.up, self.act, self.down = nn.LayerNorm(8), nn.Linear(8, 16), nn.GELU(), nn.Linear(16, 8)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = x + self.attend(x, x, x, need_weights=False)[0]
        return torch.add(x, self.down(self.act(self.up(self.norm(x)))))


class Shared(nn.Module):
    """A module that is called twice, and has two names."""

    def __init__(self) -> None:
        super().__init__()
        self.one = nn.Linear(4, 4)
        self.other = self.one
        self.act = nn.SiLU()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.act(self.other(self.act(self.one(x)))) * 2
        return out


class Recurrent(nn.Module):
    """Cells over steps, and a linear layer over their states."""

    def __init__(self) -> None:
        super().__init__()
        self.cells = nn.LSTM(4, 6, batch_first=True)
        self.fc = nn.Linear(6, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.fc(self.cells(x)[0])
        return out


class Up(nn.Module):
    """What enlarges, with and without a module."""

    def __init__(self) -> None:
        super().__init__()
        self.up = nn.ConvTranspose2d(3, 2, 2, stride=2)
        self.more = nn.Upsample(scale_factor=2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.interpolate(self.more(self.up(x)), scale_factor=2)


MODELS: dict[type[nn.Module], tuple[int, ...]] = {
    Plain: (3, 8, 8),
    Attending: (5, 8),
    Encoding: (5, 8),
    Shared: (4,),
    Recurrent: (7, 4),
    Up: (3, 4, 4),
}


def crosschecked(model: type[nn.Module], batch: int, *, by_name: bool) -> dict[str, tuple[Profile, Comparison]]:
    """Each tool's profile, and what is said of it."""
    shape = [batch, *MODELS[model]]
    inputs = f"{{ x = {{ shape = {shape} }} }}" if by_name else str(shape)
    text = f"[tool.modelbudget.models.net]\nfactory = '{__name__}:{model.__name__}'\ninputs = {inputs}\n"
    settings = parse(text.encode(), Path(__file__).parents[2] / "pyproject.toml", "pyproject.toml")
    assert settings is not None
    net = settings.models["net"]
    found, parts = Measurements().by_counters(settings, net, net.cases["default"])
    ours: Any = found["aten"]
    told = {}
    for counter in COUNTERS:
        theirs = found[counter]
        assert isinstance(theirs, Profile), theirs
        told[counter] = theirs, compare(ours, theirs, parts["aten"], parts[counter])
        assert sum(each.macs for each in told[counter][1].differences) == theirs.macs - ours.macs
    return told


def reasons(comparison: Comparison) -> dict[str, int]:
    return {each.reason: each.macs for each in comparison.differences}


@pytest.mark.parametrize("model", MODELS)
def test_the_reasons_add_up_and_do_not_depend_on_how_inputs_are_passed(model: type[nn.Module]) -> None:
    once: dict[str, dict[str, int]] = {}
    for batch in (1, 3):
        by_position, by_name = (crosschecked(model, batch, by_name=each) for each in (False, True))
        for counter in COUNTERS:
            told = reasons(by_position[counter][1])
            image = [macs for reason, macs in told.items() if reason.startswith("counts one image of the batch")]
            # ptflops divides by the batch what it is given by position, and nothing else does.
            assert len(image) == (counter == "ptflops" and batch > 1)
            if image:
                del told[f"counts one image of the batch of {batch}"]
                assert image[0] == by_position[counter][0].macs - by_name[counter][0].macs
            assert told == reasons(by_name[counter][1])
            # Each is a cost of the model, which is so many times as large for so many images. (ptflops counts the first
            # image of what an nn.Upsample gives.)
            if model is not Up:
                first = once.setdefault(counter, told)
                assert told == {reason: batch * macs for reason, macs in first.items()}


def test_the_reasons_of_ptflops_are_derived() -> None:
    told = reasons(crosschecked(Plain, 2, by_name=True)["ptflops"][1])
    elements = 2 * 4 * 6 * 6
    assert told == {
        "counts normalization": 2 * elements,
        "counts biases, one an output element": elements + 2 * 5,
        "counts activation functions, one an element": elements + 2 * 5,
        "counts relu again in a module that it has counted": elements,
        "counts pooling": elements,
        "counts adaptive_avg_pool2d again in a module that it has counted": elements,
        "does not see work that no module of a known type does": -2 * 5 * 5,
    }


def test_attention_by_hand_is_seen_where_it_is_called() -> None:
    told = crosschecked(Attending, 2, by_name=True)
    # Two products of 5·5·8 an image; ptflops counts them, a softmax of 5·5, and the biases of two of three layers.
    assert reasons(told["thop"][1]) == {"does not see products of two activations": -2 * 2 * 5 * 5 * 8}
    assert reasons(told["ptflops"][1]) == {
        "counts softmax": 2 * 5 * 5,
        "counts biases, one an output element": 2 * 2 * 5 * 8,
    }
    assert reasons(told["fvcore"][1]) == {}
