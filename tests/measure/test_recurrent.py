"""Recurrent layers are measured by their steps, whether the machine has oneDNN's fused ones or not."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from pytest_modelbudget import Profile, measure

STEPS, BATCH, INPUTS, HIDDEN = 10, 2, 16, 8


@pytest.fixture(params=[True, False], ids=["oneDNN", "no oneDNN"])
def onednn(request: pytest.FixtureRequest) -> Any:
    enabled = torch._C._get_mkldnn_enabled()
    torch._C._set_mkldnn_enabled(request.param)
    yield request.param
    assert torch._C._get_mkldnn_enabled() is request.param
    torch._C._set_mkldnn_enabled(enabled)


def profiles(model: nn.Module, mode: Any, dtype: str) -> list[Profile]:
    shape, runs = (STEPS, BATCH, INPUTS), ("abstract", "real")
    return [measure(model, shape, run=run, mode=mode, dtype=dtype) for run in runs]  # type: ignore[arg-type]


@pytest.mark.parametrize("mode", ["eval", "train"])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize(("kind", "gates"), [(nn.LSTM, 4), (nn.GRU, 3), (nn.RNN, 1)])
def test_activations_are_the_gates_of_each_step(onednn: bool, kind: Any, gates: int, dtype: str, mode: str) -> None:
    for profile in profiles(kind(INPUTS, HIDDEN), mode, dtype):
        # The gates of all steps from the inputs, in one product, and of each step from the hidden values.
        assert profile.activations == 2 * STEPS * BATCH * gates * HIDDEN
        assert profile.macs == STEPS * BATCH * gates * HIDDEN * (INPUTS + HIDDEN)


# Bytes at the peak, measured without oneDNN, where PyTorch itself takes the layer apart.
PEAKS = {"eval": 4_320, "train": 6_208}


@pytest.mark.parametrize("mode", PEAKS)
def test_the_peak_does_not_depend_on_the_machine(onednn: bool, mode: str) -> None:
    assert [each.peak_memory for each in profiles(nn.LSTM(INPUTS, HIDDEN), mode, "bfloat16")] == [PEAKS[mode]] * 2
