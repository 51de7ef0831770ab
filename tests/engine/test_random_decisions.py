"""What a model decides at random is the same for a module, for a callable that builds it, and on real tensors."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from pytest_modelbudget import measure

WIDTH = 64
INPUT = (8, WIDTH)
ONE = 8 * WIDTH * WIDTH
"""The MACs of one layer."""

generator = torch.Generator()

DECISIONS: dict[str, Callable[[], bool]] = {
    "rand of one": lambda: torch.rand(1).item() < 0.5,
    "rand without dimensions": lambda: bool(torch.rand([]) < 0.5),
    "rand with a generator": lambda: torch.rand(1, generator=generator).item() < 0.5,
    "rand_like": lambda: torch.rand_like(torch.zeros(())).item() < 0.5,
    "randn": lambda: torch.randn(1).item() < 0,
    "uniform_": lambda: torch.empty(1).uniform_().item() < 0.5,
    "normal_": lambda: torch.empty(20).normal_()[3].item() < 0,
    "bernoulli": lambda: bool(torch.bernoulli(torch.tensor(0.5))),
    "bernoulli_": lambda: bool(torch.empty(1).bernoulli_(0.5)),
    "exponential_": lambda: torch.empty(1).exponential_().item() < 0.7,
    "multinomial": lambda: torch.multinomial(torch.ones(10), 1).item() < 5,
    "randperm": lambda: torch.randperm(10)[0].item() < 5,
    "randint": lambda: torch.randint(10, (1,)).item() < 5,
    "dropout": lambda: bool(nn.functional.dropout(torch.ones(1), training=True)),
    "random": lambda: random.random() < 0.5,
    "numpy": lambda: bool(np.random.rand() < 0.5),
}


class Deciding(nn.Module):
    """Twenty layers, each after a dropout, and each left out by a decision."""

    def __init__(self, decide: Callable[[], bool]) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(WIDTH, WIDTH, bias=False) for _ in range(20))
        self.dropout = nn.Dropout(0.1)
        self.decide = decide

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for layer in self.layers:
            x = self.dropout(x)
            if self.decide():
                x = layer(x)
        return x


def _taken(model: Any, inputs: Any, run: Any) -> list[int]:
    profile = measure(model, inputs, mode="train", run=run)
    assert profile.run == run
    return [layer.macs for layer in profile.layers.values()]


@pytest.mark.parametrize("decide", DECISIONS.values(), ids=DECISIONS)
def test_a_module_a_callable_and_a_real_run_decide_alike(decide: Callable[[], bool]) -> None:
    def build() -> nn.Module:
        return Deciding(decide)

    generator.manual_seed(1)
    state = generator.get_state().tolist()
    module = build()
    first = _taken(module, INPUT, "abstract")
    assert 0 < sum(first) < 20 * ONE, "some are left out, and not all"
    torch.rand(7)  # what was drawn before does not matter
    assert _taken(build, INPUT, "abstract") == first
    assert _taken(module, INPUT, "real") == first
    assert _taken(build, INPUT, "real") == first
    assert generator.get_state().tolist() == state


def test_what_is_decided_while_a_model_is_built_is_the_same_on_real_tensors() -> None:
    def build() -> nn.Module:
        large = nn.Linear(100, 100)  # 10,000 elements, which an abstract run does not draw
        narrow = [nn.Linear(100, 100) if torch.rand(1).item() < 0.5 else nn.Identity() for _ in range(20)]
        return nn.Sequential(large, *narrow)

    macs = _taken(build, (1, 100), "abstract")
    assert 10_000 < sum(macs) < 21 * 10_000
    assert _taken(build, (1, 100), "real") == macs


def test_inputs_that_are_drawn_are_the_same() -> None:
    class Counting(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layers = nn.ModuleList(nn.Linear(100, 100, bias=False) for _ in range(8))

        def forward(self, ids: torch.Tensor) -> torch.Tensor:
            x = torch.zeros(1, 100)
            for number in ids.tolist():
                x = self.layers[number](x)
            return x

    from pytest_modelbudget.engine.arguments import described_inputs
    from pytest_modelbudget.engine.measuring import measure_subject
    from pytest_modelbudget.engine.sources import Subject
    from pytest_modelbudget.settings.inputs import Positional, TensorSpec

    ids = Positional((TensorSpec((30,), "int64", 0, 8),))
    found = [
        measure_subject(Subject(model), described_inputs(ids, str), run=run)
        for model in (Counting(), Counting)
        for run in ("abstract", "real")
    ]
    calls = [[layer.calls for layer in profile.layers.values()] for profile in found]
    assert calls[1:] == calls[:1] * 3


def _wav2vec2() -> tuple[Any, Any]:
    from transformers import Wav2Vec2Config, Wav2Vec2Model

    config = Wav2Vec2Config(
        hidden_size=32,
        num_hidden_layers=12,
        num_attention_heads=2,
        intermediate_size=32,
        conv_dim=(16, 16),
        conv_stride=(5, 2),
        conv_kernel=(10, 3),
        num_conv_pos_embeddings=4,
        num_conv_pos_embedding_groups=2,
        layerdrop=0.5,
        mask_time_prob=0.0,
    )
    return lambda: Wav2Vec2Model(config), (1, 400)


def _bart() -> tuple[Any, Any]:
    from transformers import BartConfig, BartModel

    config = BartConfig(
        vocab_size=64,
        d_model=32,
        encoder_layers=8,
        decoder_layers=8,
        encoder_attention_heads=2,
        decoder_attention_heads=2,
        encoder_ffn_dim=32,
        decoder_ffn_dim=32,
        max_position_embeddings=32,
        encoder_layerdrop=0.5,
        decoder_layerdrop=0.5,
    )
    return lambda: BartModel(config), {"input_ids": torch.arange(12)[None]}


@pytest.mark.parametrize("make", [_wav2vec2, _bart])
def test_models_of_transformers_drop_the_same_layers(make: Callable[[], tuple[Any, Any]]) -> None:
    pytest.importorskip("transformers")
    build, inputs = make()
    module = build()
    first = _taken(module, inputs, "abstract")
    layers = measure(module, inputs, mode="train", run="abstract").layers
    calls = [layer.calls for name, layer in layers.items() if name.rpartition(".")[0].endswith("layers")]
    assert 0 < sum(calls) < len(calls), "some are left out, and not all"
    assert _taken(build, inputs, "abstract") == first
    assert _taken(module, inputs, "real") == first
    assert _taken(build, inputs, "real") == first
