"""Abstract results lie in memory as real ones do: in every layout of the arguments, and so with the same bytes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F  # noqa: N812 - its usual name
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from benchmarks.operators import DIFFER, compare
from pytest_modelbudget import MeasurementError, measure
from tests.engine.run import Run


@st.composite
def laid_out(draw: st.DrawFn, shape: tuple[int, ...], dtype: torch.dtype = torch.float32) -> torch.Tensor:
    """A tensor of a shape whose dimensions lie in memory in any order, some of them expanded or cut out of more."""
    dims = range(len(shape))
    order = draw(st.one_of(st.just(list(dims)), st.permutations(dims), st.just([0, *dims[2:], 1])))
    room = [size + draw(st.sampled_from([0, 0, 0, 1])) for size in shape]
    tensor = torch.rand([room[dim] for dim in order]).to(dtype).permute([order.index(dim) for dim in dims])
    tensor = tensor[tuple(slice(size) for size in shape)]
    if draw(st.sampled_from([False, False, False, True])):
        dim = draw(st.integers(0, len(shape) - 1))
        tensor = tensor.narrow(dim, 0, 1).expand(shape)
    return tensor


SIZES = st.sampled_from([1, 2, 4])
WIDTHS = st.sampled_from([1, 4, 6])


@st.composite
def images(draw: st.DrawFn, dims: int) -> torch.Tensor:
    return draw(laid_out((draw(SIZES), draw(st.sampled_from([1, 4])), *(draw(WIDTHS) for _ in range(dims - 2)))))


def _halves(x: torch.Tensor) -> torch.Tensor:
    return torch.cat((x, torch.zeros(x.shape)), 1)


ONE = Callable[[torch.Tensor], Any]
OF_IMAGES: dict[str, ONE] = {
    "roll": lambda x: torch.roll(x, 1, 1),
    "roll along two": lambda x: torch.roll(x, (1, 2), (2, 3)),
    "roll all": lambda x: torch.roll(x, 3),
    "nearest": lambda x: F.interpolate(x, scale_factor=2),
    "bilinear": lambda x: F.interpolate(x, scale_factor=2, mode="bilinear"),
    "bicubic": lambda x: F.interpolate(x, scale_factor=2, mode="bicubic"),
    "antialias": lambda x: F.interpolate(x, size=(3, 3), mode="bilinear", antialias=True),
    "max_pool": lambda x: F.max_pool2d(x, 1),
    "max_pool with indices": lambda x: F.max_pool2d(x, 1, return_indices=True),
    "avg_pool": lambda x: F.avg_pool2d(x, 1),
    "adaptive_avg_pool": lambda x: F.adaptive_avg_pool2d(x, 2),
    "global pool": lambda x: F.adaptive_avg_pool2d(x, 1),
    "adaptive_max_pool": lambda x: F.adaptive_max_pool2d(x, 2),
    "max_pool without batch": lambda x: F.max_pool3d(x, 1),
    "group_norm": lambda x: F.group_norm(x, 1),
    "batch_norm": lambda x: F.batch_norm(x, torch.zeros(x.shape[1]), torch.ones(x.shape[1])),
    "layer_norm": lambda x: F.layer_norm(x, x.shape[-1:]),
    "rms_norm": lambda x: F.rms_norm(x, x.shape[-1:]),
    "pixel_shuffle": lambda x: F.pixel_shuffle(x, 2),
    "pixel_unshuffle": lambda x: F.pixel_unshuffle(x, 2),
    "channel_shuffle": lambda x: F.channel_shuffle(x, 2),
    "zero pad": lambda x: F.pad(x, (1, 1, 1, 1)),
    "replication pad": lambda x: F.pad(x, (1, 1, 1, 1), mode="replicate"),
    "reflection pad": lambda x: F.pad(x, (0, 1, 1, 0), mode="reflect"),
    "circular pad": lambda x: F.pad(x, (1, 1, 1, 1), mode="circular"),
    "zeros_like": torch.zeros_like,
    "empty_like": torch.empty_like,
    "rand_like": torch.rand_like,
    "full_like": lambda x: torch.full_like(x, 2.0),
    "new_zeros": lambda x: x.new_zeros(x.shape),
    "large zeros_like": lambda x: torch.zeros_like(x.repeat(1, 4, 10, 10)),
    "cat": lambda x: torch.cat((x, x), 1),
    "cat with contiguous": _halves,
    "stack": lambda x: torch.stack((x, x), 1),
    "softmax": lambda x: x.softmax(1),
    "cumsum": lambda x: x.cumsum(1),
    "mean": lambda x: x.mean((2, 3)),
    "max": lambda x: x.max(1),
    "topk": lambda x: x.topk(1, 1),
    "sort": lambda x: x.sort(1),
    "relu": F.relu,
    "gelu": F.gelu,
    "prelu": lambda x: F.prelu(x, torch.ones(x.shape[1])),
    "dropout": lambda x: F.dropout(x, 0.5, training=True),
    "clone": torch.clone,
    "contiguous": lambda x: x.contiguous(),
    "to channels last": lambda x: x.to(memory_format=torch.channels_last),
    "to half": lambda x: x.half(),
    "add to contiguous": lambda x: torch.zeros(x.shape) + x,
    "add a row": lambda x: x + torch.zeros(x.shape[-1]),
    "scale channels": lambda x: x * x.mean((2, 3), keepdim=True).sigmoid(),
    "copysign": lambda x: torch.copysign(x, torch.zeros(x.shape[-1])),
    "floor_divide": lambda x: torch.floor_divide(x, torch.ones(x.shape[-1])),
    "power of two": lambda x: 2.0**x,
    "flip": lambda x: x.flip(1),
    "repeat": lambda x: x.repeat(1, 2, 1, 1),
    "unfold": lambda x: F.unfold(x, 1),
    "view": lambda x: x.view(x.shape[0], -1),
    "reshape": lambda x: x.reshape(x.shape[0], -1),
    "linear of channels": lambda x: F.linear(x.permute(0, 2, 3, 1), torch.ones(3, x.shape[1])),
    "attention": lambda x: F.scaled_dot_product_attention(x, x, x),
    "logsigmoid": F.logsigmoid,
    "mse_loss": lambda x: F.mse_loss(x, x),
    "normalize": F.normalize,
    "rfft2": torch.fft.rfft2,
    "conj": lambda x: torch.complex(x, x).conj().exp(),
    "slice_scatter": lambda x: torch.slice_scatter(x, x[:1], 0, 0, 1),
}


@settings(deadline=None, max_examples=8)
@given(st.data())
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", OF_IMAGES)
def test_an_operation_on_images(name: str, data: st.DataObject) -> None:
    outcome = compare(OF_IMAGES[name], [data.draw(images(4))], {})
    assert outcome.verdict != DIFFER, outcome.detail


OF_VOLUMES: dict[str, ONE] = {
    "nearest": lambda x: F.interpolate(x, scale_factor=2),
    "trilinear": lambda x: F.interpolate(x, scale_factor=2, mode="trilinear"),
    "max_pool": lambda x: F.max_pool3d(x, 1),
    "avg_pool": lambda x: F.avg_pool3d(x, 1),
    "adaptive_avg_pool": lambda x: F.adaptive_avg_pool3d(x, 2),
    "group_norm": lambda x: F.group_norm(x, 1),
    "batch_norm": lambda x: F.batch_norm(x, torch.zeros(x.shape[1]), torch.ones(x.shape[1])),
    "replication pad": lambda x: F.pad(x, (1, 1, 1, 1, 1, 1), mode="replicate"),
    "zeros_like": torch.zeros_like,
    "relu": F.relu,
}


@settings(deadline=None, max_examples=8)
@given(st.data())
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", OF_VOLUMES)
def test_an_operation_on_volumes(name: str, data: st.DataObject) -> None:
    outcome = compare(OF_VOLUMES[name], [data.draw(images(5))], {})
    assert outcome.verdict != DIFFER, outcome.detail


@settings(deadline=None, max_examples=40)
@given(st.data())
@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize("dims", [1, 2, 3])
def test_a_convolution(dims: int, transposed: bool, data: st.DataObject) -> None:
    # Where the kernels for one thread and for several differ (kernels of 1×1×1), several are meant.
    draw = data.draw
    groups, kernel = draw(st.sampled_from([1, 2])), draw(st.sampled_from([1, 2, 3, 4] if dims < 3 else [2, 3, 4]))
    channels, features = groups * draw(st.sampled_from([1, 2])), groups * draw(st.sampled_from([1, 3]))
    dtype = draw(st.sampled_from([torch.float32, torch.float32, torch.float64]))
    inputs = draw(laid_out((draw(SIZES), channels, *(draw(st.sampled_from([4, 6])) for _ in range(dims))), dtype))
    outer, inner = (channels, features // groups) if transposed else (features, channels // groups)
    weight = draw(laid_out((outer, inner, *[kernel] * dims), dtype))
    bias = draw(st.sampled_from([None, torch.zeros(features, dtype=dtype)]))
    step, dilation = draw(st.sampled_from([1, 2])), draw(st.sampled_from([1, 1, 2]))
    convolve = getattr(F, f"conv_transpose{dims}d" if transposed else f"conv{dims}d")
    named = {"stride": step, "padding": draw(st.sampled_from([0, 1])), "dilation": dilation, "groups": groups}
    outcome = compare(convolve, [inputs, weight, bias], named)
    assert outcome.verdict != DIFFER, outcome.detail


@pytest.mark.parametrize(("bias", "groups"), [(5, 1), (4, 3)])
def test_a_convolution_that_does_not_fit_is_refused_in_the_kernels_words(bias: int, groups: int) -> None:
    args = [torch.zeros(1, 2, 5, 5), torch.zeros(4, 2, 3, 3), torch.zeros(bias)]
    outcome = compare(F.conv2d, args, {"groups": groups})
    assert (outcome.verdict, outcome.detail) == ("refused in both", "")


OF_ONE_DTYPE: dict[str, tuple[Callable[..., Any], list[tuple[int, ...]]]] = {
    "mm": (torch.mm, [(2, 3), (3, 4)]),
    "addmm": (torch.addmm, [(4,), (2, 3), (3, 4)]),
    "bmm": (torch.bmm, [(2, 2, 3), (2, 3, 4)]),
    "baddbmm": (torch.baddbmm, [(2, 2, 4), (2, 2, 3), (2, 3, 4)]),
    "addbmm": (torch.addbmm, [(2, 4), (2, 2, 3), (2, 3, 4)]),
    "mv": (torch.mv, [(2, 3), (3,)]),
    "addmv": (torch.addmv, [(2,), (2, 3), (3,)]),
    "linear": (F.linear, [(2, 3), (4, 3), (4,)]),
    "conv2d": (F.conv2d, [(1, 2, 4, 4), (3, 2, 3, 3), (3,)]),
    "layer_norm": (lambda x, w, b: F.layer_norm(x, (4,), w, b), [(2, 4), (4,), (4,)]),
    "group_norm": (lambda x, w, b: F.group_norm(x, 2, w, b), [(2, 4, 3), (4,), (4,)]),
    "batch_norm": (lambda x, w, b, m, v: F.batch_norm(x, m, v, w, b), [(2, 4, 3), (4,), (4,), (4,), (4,)]),
    "attention": (F.scaled_dot_product_attention, [(1, 2, 3, 4)] * 3),
    "prelu": (F.prelu, [(2, 3), (1,)]),
}


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
@pytest.mark.parametrize("name", OF_ONE_DTYPE)
def test_operands_of_several_dtypes_are_refused_where_the_kernels_refuse_them(name: str, dtype: torch.dtype) -> None:
    function, shapes = OF_ONE_DTYPE[name]
    for other in range(len(shapes)):
        args = [torch.zeros(s, dtype=dtype if n == other else torch.float32) for n, s in enumerate(shapes)]
        outcome = compare(function, args, {})
        assert outcome.verdict != DIFFER, f"argument {other}: {outcome.detail}"


class ChannelsLastBlock(nn.Module):
    """As models have it that keep images as height, width, channels."""

    def __init__(self) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(64, 64, 3, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.convolution(x.permute(0, 3, 1, 2)).permute(0, 2, 3, 1).view(-1, 64)  # type: ignore[no-any-return]


@pytest.mark.parametrize("run", ["abstract", "real"])
def test_a_permuted_convolution_can_be_viewed_by_its_channels(run: Any) -> None:
    # 36,928 weights, 2·8·8·64 inputs and as many results, of four bytes each.
    assert measure(ChannelsLastBlock(), (2, 8, 8, 64), run=run).peak_memory == 4 * (
        64 * 64 * 9 + 64 + 2 * 2 * 8 * 8 * 64
    )


@pytest.mark.parametrize("run", ["abstract", "real"])
def test_channels_last_cannot_be_viewed_as_rows(run: Any) -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 3), Run(lambda x: x.view(x.shape[0], -1))).to(
        memory_format=torch.channels_last
    )
    with pytest.raises(MeasurementError, match=r"failed in 1 \(Run\).*view size is not compatible"):
        measure(model, (2, 3, 8, 8), run=run)


def test_lazily_conjugated_tensors_are_copied_where_an_operation_needs_it() -> None:
    # 4 complex inputs, a copy of them that is conjugated, and the sum, of eight bytes each.
    profile = measure(Run(lambda x: x.conj() + 1), (torch.zeros(4, dtype=torch.complex64),))
    assert profile.peak_memory == 3 * 4 * 8


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("loss", [F.mse_loss, F.smooth_l1_loss, F.soft_margin_loss, F.huber_loss])
def test_a_loss_costs_as_on_real_tensors(loss: Callable[..., torch.Tensor], reduction: str) -> None:
    outcome = compare(loss, [torch.rand(4, 5), torch.rand(4, 5)], {"reduction": reduction})
    assert outcome.verdict == "equal", outcome.detail


@pytest.mark.parametrize("mode", ["eval", "train"])
@pytest.mark.parametrize("bag", ["sum", "mean", "max"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize("more", [{}, {"include_last_offset": True}, {"padding_idx": 1}], ids=str)
def test_an_embedding_bag_costs_as_on_real_tensors(mode: str, bag: str, dtype: torch.dtype, more: Any) -> None:
    weight = torch.zeros(20, 8, dtype=dtype, requires_grad=mode == "train")
    args = [torch.arange(10), weight, torch.tensor([0, 4, 7])]
    outcome = compare(F.embedding_bag, args, {"mode": bag, **more}, mode)
    assert outcome.verdict == "equal", outcome.detail


@pytest.mark.parametrize("mode", ["eval", "train"])
@pytest.mark.parametrize(
    "module",
    [nn.BatchNorm2d(4), nn.GroupNorm(2, 4), nn.LayerNorm(5), nn.InstanceNorm2d(4), nn.RMSNorm(5)],
    ids=lambda module: type(module).__name__,
)
def test_statistics_of_a_norm_in_bfloat16(module: nn.Module, mode: Any) -> None:
    abstract = measure(module, (2, 4, 5, 5), run="abstract", mode=mode, dtype="bfloat16")
    real = measure(module, (2, 4, 5, 5), run="real", mode=mode, dtype="bfloat16")
    assert abstract.peak_memory == real.peak_memory
