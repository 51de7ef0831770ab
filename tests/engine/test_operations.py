"""Multiply-accumulates of each kind of operation, derived by hand."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
import torch.nn.functional as F  # noqa: N812 - its usual name
from torch import nn
from torch.utils.flop_counter import flop_registry, register_flop_formula

from pytest_modelbudget import measure, register_formula
from pytest_modelbudget.engine import formulas
from tests.engine.run import Run


def macs(function: Callable[..., object], *shapes: tuple[int, ...]) -> int:
    return measure(Run(function), tuple(torch.zeros(shape) for shape in shapes)).macs


@pytest.mark.filterwarnings("ignore:LSTM with projections")
@pytest.mark.parametrize(
    ("module", "inputs", "expected"),
    [
        (nn.Linear(16, 8), (5, 16), 5 * 16 * 8),
        (nn.Linear(16, 8, bias=False), (2, 5, 16), 2 * 5 * 16 * 8),
        (nn.Conv1d(4, 6, 3), (2, 4, 10), 2 * 6 * 4 * 3 * 8),
        (nn.Conv2d(4, 6, 3, padding=1), (2, 4, 10, 12), 2 * 6 * 4 * 9 * 10 * 12),
        (nn.Conv2d(4, 6, 3, stride=2), (1, 4, 11, 11), 6 * 4 * 9 * 5 * 5),
        (nn.Conv2d(4, 8, 3, groups=4), (1, 4, 10, 10), 8 * 1 * 9 * 8 * 8),
        (nn.Conv3d(2, 3, 2), (1, 2, 4, 4, 4), 3 * 2 * 8 * 27),
        # Transposed: every input element meets the kernel of each output channel of its group.
        (nn.ConvTranspose2d(4, 6, 3), (1, 4, 5, 5), 5 * 5 * 4 * 6 * 9),
        (nn.ConvTranspose2d(4, 6, 3, groups=2), (1, 4, 5, 5), 5 * 5 * 4 * 3 * 9),
        # Ten steps; each multiplies 16 inputs and 8 hidden values by four gates of 8.
        (nn.LSTM(16, 8), (10, 1, 16), 10 * 4 * 8 * (16 + 8)),
        (nn.LSTM(16, 8, bidirectional=True), (10, 3, 16), 2 * 3 * 10 * 4 * 8 * (16 + 8)),
        (nn.LSTM(16, 8, num_layers=2), (10, 1, 16), 10 * 4 * 8 * (16 + 8 + 8 + 8)),
        (nn.GRU(16, 8), (10, 1, 16), 10 * 3 * 8 * (16 + 8)),
        (nn.RNN(16, 8), (10, 1, 16), 10 * 8 * (16 + 8)),
        (nn.LSTMCell(16, 8), (3, 16), 3 * 4 * 8 * (16 + 8)),
        (nn.GRUCell(16, 8), (3, 16), 3 * 3 * 8 * (16 + 8)),
        (nn.RNNCell(16, 8), (3, 16), 3 * 8 * (16 + 8)),
        # Four gates of 8 from 16 inputs and 5 projected values, and the projection of 8 to 5.
        (nn.LSTM(16, 8, proj_size=5), (10, 1, 16), 10 * (4 * 8 * (16 + 5) + 8 * 5)),
        (nn.LSTM(16, 8, batch_first=True, bias=False), (3, 10, 16), 3 * 10 * 4 * 8 * (16 + 8)),
        # Projections 3·16·16 and 16·16 of each of 5 positions; 4 heads of 4: scores and weighted sums 2·5·5·16.
        (nn.TransformerEncoderLayer(16, 4, 32), (5, 1, 16), 5 * 16 * 16 * 4 + 2 * 5 * 5 * 16 + 5 * 16 * 32 * 2),
        (nn.Embedding(10, 4), (torch.zeros(2, 3, dtype=torch.int64),), 0),
        (nn.Sequential(nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2), nn.AdaptiveAvgPool2d(1)), (1, 4, 8, 8), 0),
    ],
    ids=lambda value: str(value)[:40] if isinstance(value, nn.Module) else "",
)
def test_a_module(module: nn.Module, inputs: tuple[int, ...], expected: int) -> None:
    assert measure(module, inputs).macs == expected


@pytest.mark.parametrize(
    ("function", "shapes", "expected"),
    [
        (torch.matmul, [(2, 3, 4), (4, 5)], 2 * 3 * 4 * 5),
        (torch.matmul, [(3, 4), (4,)], 3 * 4),
        (torch.bmm, [(2, 3, 4), (2, 4, 5)], 2 * 3 * 4 * 5),
        (torch.addmm, [(3, 5), (3, 4), (4, 5)], 3 * 4 * 5),
        (torch.baddbmm, [(2, 3, 5), (2, 3, 4), (2, 4, 5)], 2 * 3 * 4 * 5),
        (torch.addbmm, [(3, 5), (2, 3, 4), (2, 4, 5)], 2 * 3 * 4 * 5),
        (torch.mv, [(3, 4), (4,)], 3 * 4),
        (torch.addmv, [(3,), (3, 4), (4,)], 3 * 4),
        (torch.dot, [(7,), (7,)], 7),
        (torch.vdot, [(7,), (7,)], 7),
        (torch.addr, [(3, 4), (3,), (4,)], 3 * 4),
        (torch.inner, [(3, 4), (5, 4)], 3 * 5 * 4),
        (torch.kron, [(2, 3), (4, 5)], 0),
        (torch.cdist, [(2, 5, 4), (2, 7, 4)], 2 * 5 * 7 * 4),
        (lambda x, y: torch.cdist(x, y, p=1), [(5, 4), (7, 4)], 5 * 7 * 4),
        # Every pair of 5 rows once.
        (F.pdist, [(5, 4)], 10 * 4),
        # A kernel of width 3 over 10 steps leaves 8.
        (torch.conv_tbc, [(10, 2, 4), (3, 4, 6), (6,)], 8 * 2 * 3 * 4 * 6),
        # x₁·W for each of 7 features, then ·x₂.
        (F.bilinear, [(2, 16), (2, 12), (7, 16, 12)], 2_856),
        (torch.fft.fft, [(4, 8)], 0),
        (torch.linalg.inv, [(4, 4)], 0),
        (lambda x: torch.linalg.matrix_power(x, 3), [(4, 4)], 2 * 4**3),
        (lambda x: F.affine_grid(x, [2, 3, 5, 6], align_corners=False), [(2, 2, 3)], 2 * 5 * 6 * 2 * 3),
        (lambda x, grid: F.grid_sample(x, grid, align_corners=False), [(1, 3, 4, 4), (1, 2, 2, 2)], 0),
        (lambda a, b: a.addmm_(b, b.T), [(3, 3), (3, 4)], 3 * 4 * 3),
        (lambda x, y: torch.einsum("bij,bkj->bik", x, y), [(2, 3, 4), (2, 5, 4)], 2 * 3 * 4 * 5),
        (F.conv2d, [(1, 2, 5, 5), (3, 2, 3, 3)], 3 * 2 * 9 * 9),
    ],
)
def test_a_function(function: Callable[..., object], shapes: list[tuple[int, ...]], expected: int) -> None:
    assert macs(function, *shapes) == expected


@pytest.mark.parametrize("run", ["abstract", "real"])
@pytest.mark.parametrize(
    ("function", "shapes", "macs", "elements"),
    [
        (torch.mm, [(2, 3), (3, 4)], 2 * 3 * 4, 2 * 4),
        (torch.bmm, [(2, 3, 4), (2, 4, 5)], 2 * 3 * 4 * 5, 2 * 3 * 5),
        (torch.addmm, [(3, 5), (3, 4), (4, 5)], 3 * 4 * 5, 3 * 5),
        (torch.baddbmm, [(2, 3, 5), (2, 3, 4), (2, 4, 5)], 2 * 3 * 4 * 5, 2 * 3 * 5),
        (torch.addbmm, [(3, 5), (2, 3, 4), (2, 4, 5)], 2 * 3 * 4 * 5, 3 * 5),
        (torch.mv, [(3, 4), (4,)], 3 * 4, 3),
        (torch.addmv, [(3,), (3, 4), (4,)], 3 * 4, 3),
        (torch.dot, [(4,), (4,)], 4, 1),
        (torch.vdot, [(4,), (4,)], 4, 1),
        (torch.addr, [(3, 4), (3,), (4,)], 3 * 4, 3 * 4),
        (torch.matmul, [(2, 3, 4), (4, 5)], 2 * 3 * 4 * 5, 2 * 3 * 5),
        (torch.matmul, [(2, 3, 4), (4,)], 2 * 3 * 4, 2 * 3),
    ],
)
def test_a_product_into_a_given_tensor(
    function: Callable[..., torch.Tensor], shapes: list[tuple[int, ...]], macs: int, elements: int, run: Any
) -> None:
    args = [torch.zeros(shape) for shape in shapes]
    out = torch.zeros_like(function(*args))
    profile = measure(Run(lambda *given: function(*given[:-1], out=given[-1])), (*args, out), run=run)
    assert (profile.macs, profile.activations) == (macs, elements)
    assert profile.peak_memory == 4 * sum(each.numel() for each in (*args, out))


@pytest.mark.skipif(not hasattr(nn, "LinearCrossEntropyOptions"), reason="newer than this torch")
@pytest.mark.parametrize("run", ["abstract", "real"])
@pytest.mark.parametrize(
    ("reduction", "mode", "products"),
    [
        ("mean", "eval", 1),
        # The gradients of inputs and weight are computed in the forward pass, chunk by chunk.
        ("mean", "train", 3),
        ("none", "train", 1),
    ],
)
def test_a_linear_layer_fused_with_its_loss(reduction: str, mode: Any, products: int, run: Any) -> None:
    options = nn.LinearCrossEntropyOptions()

    def loss(x: torch.Tensor, weight: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        return F.linear_cross_entropy(x, weight, target, reduction=reduction, options=options)

    inputs = (torch.zeros(4, 8, requires_grad=True), torch.zeros(10, 8, requires_grad=True), torch.zeros(4).long())
    profile = measure(Run(loss), inputs, mode=mode, run=run)
    assert (profile.macs, profile.uncounted) == (products * 4 * 8 * 10, {})


@pytest.mark.parametrize("causal", [False, True])
def test_attention_is_counted_densely(causal: bool) -> None:
    # B·H·Lq·Lk·(D + Dv), whether causal or not.
    query, key, value = (2, 4, 5, 8), (2, 4, 7, 8), (2, 4, 7, 8)
    got = macs(lambda q, k, v: F.scaled_dot_product_attention(q, k, v, is_causal=causal), query, key, value)
    assert got == 2 * 4 * 5 * 7 * (8 + 8)


def test_attention_with_a_value_of_another_depth() -> None:
    query, key, value = (2, 4, 5, 8), (2, 4, 7, 8), (2, 4, 7, 6)
    assert macs(F.scaled_dot_product_attention, query, key, value) == 2 * 4 * 5 * 7 * (8 + 6)


@pytest.mark.parametrize("mode", ["eval", "train"])
def test_multi_head_attention_hides_nothing(mode: str) -> None:
    class SelfAttention(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.attention = nn.MultiheadAttention(16, 4)

        def forward(self, x: torch.Tensor) -> object:
            return self.attention(x, x, x)

    profile = measure(SelfAttention(), (5, 2, 16), mode=mode)  # type: ignore[arg-type]
    assert profile.macs == 2 * 5 * 16 * 16 * 4 + 2 * 2 * 5 * 5 * 16


def test_train_mode_counts_the_forward_pass_alone() -> None:
    model = nn.Sequential(nn.Linear(4, 8), nn.Dropout(0.5), nn.Linear(8, 2))
    assert measure(model, (3, 4), mode="train").macs == 3 * (4 * 8 + 8 * 2)


def _double(x: torch.Tensor) -> torch.Tensor:
    return x * 2


@pytest.fixture
def own_operation() -> Iterator[torch._ops.OpOverloadPacket]:
    with torch.library._scoped_library("modelbudget_test", "FRAGMENT") as library:
        library.define("double(Tensor x) -> Tensor")
        library.impl("double", _double, "CompositeExplicitAutograd")
        yield torch.ops.modelbudget_test.double


def test_an_operation_without_a_formula_is_reported_with_its_calls_and_module(
    own_operation: torch._ops.OpOverloadPacket,
) -> None:
    profile = measure(nn.Sequential(Run(lambda x: own_operation(own_operation(x))), Run(own_operation)), (4, 4))
    assert profile.macs == 0
    assert profile.uncounted == {"modelbudget_test.double": 3}
    assert profile.layers["0"].uncounted == {"modelbudget_test.double": 2}


def test_a_registered_formula_counts(
    own_operation: torch._ops.OpOverloadPacket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(formulas, "_registered", {})
    register_formula(own_operation, lambda x, *, out: x.numel() + out.shape[0])
    profile = measure(Run(own_operation), (4, 4))
    assert (profile.macs, profile.activations, profile.uncounted) == (20, 16, {})


def test_a_formula_registered_with_pytorch_counts_half_its_flops(
    own_operation: torch._ops.OpOverloadPacket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(flop_registry, own_operation, raising=False)
    register_flop_formula(own_operation)(lambda x, *_, **__: 2 * x[0])
    assert measure(Run(own_operation), (4, 4)).macs == 4


@pytest.mark.parametrize("op", ["aten.mm", torch.mm, None])
def test_only_an_operation_can_be_given_a_formula(op: object) -> None:
    with pytest.raises(TypeError, match=r"is not an operation; give torch\.ops"):
        register_formula(op, lambda **_: 0)


def test_a_formula_must_be_callable() -> None:
    with pytest.raises(TypeError, match=r"the formula of aten\.mm is a int, not a callable"):
        register_formula(torch.ops.aten.mm, 3)  # type: ignore[arg-type]
