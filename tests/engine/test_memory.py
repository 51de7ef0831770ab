"""Peak memory from the lifetimes of storages, derived by hand: bytes of weights, inputs and activations alive."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from pytest_modelbudget import measure
from tests.engine.run import Run

KIB = 1024


def _freed_early(x: torch.Tensor) -> torch.Tensor:
    y = x + 1
    y = y + 1
    return y + 1


def _kept(x: torch.Tensor) -> torch.Tensor:
    first = x + 1
    second = first + 1
    return second + first


def _views(x: torch.Tensor) -> torch.Tensor:
    y = x + 1
    return y.view(16, 16).t()


def _in_place(x: torch.Tensor) -> torch.Tensor:
    y = x + 1
    y.relu_().add_(1)
    return y


def _view_keeps_all(x: torch.Tensor) -> torch.Tensor:
    part = (x + 1)[:1]
    return x + part


@pytest.mark.parametrize("run", ["abstract", "real"])
@pytest.mark.parametrize(
    ("function", "kibibytes"),
    [
        (lambda x: x, 1),
        (lambda x: x + 1, 2),
        (_freed_early, 3),
        (_kept, 4),
        (_views, 2),
        (_in_place, 2),
        (_view_keeps_all, 3),
    ],
)
def test_what_is_alive_at_once(function: Any, kibibytes: int, run: Any) -> None:
    assert measure(Run(function), (256,), run=run).peak_memory == kibibytes * KIB


@pytest.mark.parametrize("run", ["abstract", "real"])
def test_a_batch_norm_saves_statistics_in_training_only(run: Any) -> None:
    # 64 channels: four vectors and an int64 counter; input and result of 1 KiB each; mean and deviation in training.
    model = nn.BatchNorm1d(64)
    weights = 4 * 64 * 4 + 8
    assert measure(model, (4, 64), run=run).peak_memory == weights + 2 * KIB
    assert measure(model, (4, 64), run=run, mode="train").peak_memory == weights + 2 * KIB + 2 * 64 * 4


@pytest.mark.parametrize("run", ["abstract", "real"])
def test_weights_and_buffers_are_alive_throughout(run: Any) -> None:
    # 256·256 weights at 4 bytes, an input and an output of 1 KiB.
    assert measure(nn.Linear(256, 256, bias=False), (1, 256), run=run).peak_memory == 256 * KIB + 2 * KIB


@pytest.mark.parametrize("run", ["abstract", "real"])
def test_training_keeps_what_the_backward_pass_needs(run: Any) -> None:
    # The linear layer saves its input and each sigmoid its result. Without gradients each result frees the one before.
    model = nn.Sequential(nn.Linear(256, 256, bias=False), nn.Sigmoid(), nn.Sigmoid(), nn.Sigmoid())
    weights = 256 * KIB
    assert measure(model, (1, 256), run=run).peak_memory == weights + 3 * KIB
    assert measure(model, (1, 256), run=run, mode="train").peak_memory == weights + 4 * KIB


@pytest.mark.parametrize("run", ["abstract", "real"])
def test_a_result_that_shares_its_argument_s_storage_is_not_counted_again(run: Any) -> None:
    # A linear layer without a bias on a batch of sequences is a product on flattened rows, seen as a batch again.
    profile = measure(nn.Linear(16, 256, bias=False), (2, 8, 16), run=run)
    assert profile.peak_memory == 16 * 256 * 4 + 2 * 8 * 16 * 4 + 2 * 8 * 256 * 4


def test_a_layer_knows_the_peak_while_it_ran() -> None:
    class Root(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.wide = Run(lambda x: (x.repeat(10) + 1)[:256])
            self.narrow = Run(lambda x: x + 1)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.narrow(self.wide(x).clone())  # type: ignore[no-any-return]

    profile = measure(Root(), (256,))
    # The input, ten times it, and their sum.
    assert profile.peak_memory == profile.layers["wide"].peak_memory == 21 * KIB
    # The input, the clone and the sum.
    assert profile.layers["narrow"].peak_memory == 3 * KIB


class Importing(nn.Module):
    """Imports a module where it runs, which keeps the frames that led to it, as PyTorch's compiler does."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = x + 1
        importlib.import_module("keeps_its_frames")
        return y[:1].clone()


@pytest.mark.parametrize("run", ["abstract", "real"])
def test_an_import_keeps_nothing_alive(run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code = "import sys\ndef keep():\n    frame = sys._getframe()\nkeep()\n"
    (tmp_path / "keeps_its_frames.py").write_text(code, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "keeps_its_frames", raising=False)
    model = nn.Sequential(Importing(), nn.ReLU(), nn.ReLU())
    first = measure(model, (256, 4), run=run)
    assert "keeps_its_frames" in sys.modules
    assert measure(model, (256, 4), run=run) == first


class Cyclic(nn.Module):
    """Keeps each result in a cycle, imports a module, and frees nothing itself."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        cycle: list[object] = [x + 1]
        cycle.append(cycle)
        importlib.import_module("imported_once")
        return x + 1


@pytest.mark.parametrize("run", ["abstract", "real"])
@pytest.mark.parametrize("code", ["", "import gc\ngc.collect()\n"])
def test_cycles_live_as_long_in_the_first_measurement(
    code: str, run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "imported_once.py").write_text(code, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "imported_once", raising=False)
    model = nn.Sequential(Cyclic(), Cyclic(), Cyclic())
    first = measure(model, (256,), run=run)
    assert "imported_once" in sys.modules
    assert measure(model, (256,), run=run) == first
    # One result in a cycle of each module, the input and the result of the last two.
    assert first.peak_memory == 6 * KIB


@pytest.mark.filterwarnings("ignore")  # that it is slow without a compiler
def test_results_of_operations_that_take_functions_are_alive() -> None:
    from torch.nn.attention.flex_attention import flex_attention

    model = Run(lambda x: flex_attention(x, x, x))
    abstract = measure(model, (1, 2, 128, 16), run="abstract").peak_memory
    # The input and the result, of 16 KiB each, and for 2·128 rows a sum at 4 bytes; newer versions give a maximum too.
    assert abstract >= 2 * 16 * KIB + KIB
    assert measure(model, (1, 2, 128, 16), run="real").peak_memory == abstract
