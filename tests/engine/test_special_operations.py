"""Operations on operands of their own kind (integers, packed weights, groups, subclasses), and which are free."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
import torch.nn.functional as F  # noqa: N812 - its usual name
import torchvision
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from pytest_modelbudget import MeasurementError, Profile, measure
from pytest_modelbudget.engine.formulas import formula_of
from pytest_modelbudget.engine.free import is_free
from tests.engine.run import Run


def counted(function: Callable[..., object], *args: object) -> Profile:
    profile = measure(Run(function), args)
    assert profile.uncounted == {}
    return profile


def test_a_product_of_integers() -> None:
    left, right = torch.ones(17, 32, dtype=torch.int8), torch.ones(32, 8, dtype=torch.int8)
    assert counted(torch._int_mm, left, right).macs == 17 * 32 * 8


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32, torch.float16])
@pytest.mark.parametrize(
    ("left", "right", "macs"),
    [
        # Ten rows in two groups, each with a matrix of its own.
        ((10, 16), (2, 16, 8), 10 * 16 * 8),
        ((2, 10, 16), (2, 16, 8), 2 * 10 * 16 * 8),
        # Eight columns in two groups.
        ((2, 10, 16), (16, 8), 10 * 16 * 8),
        # Sixteen inner elements in two groups.
        ((10, 16), (16, 8), 10 * 16 * 8),
    ],
)
def test_a_grouped_product(dtype: torch.dtype, left: tuple[int, ...], right: tuple[int, ...], macs: int) -> None:
    offsets = None if len(left) == len(right) == 3 else torch.tensor([4, 8], dtype=torch.int32)
    product = torch._grouped_mm
    args = (torch.zeros(left, dtype=dtype), torch.zeros(right, dtype=dtype))
    assert counted(lambda a, b: product(a, b, offs=offsets), *args).macs == macs


def test_weights_packed_to_eight_bits() -> None:
    x, weight = torch.zeros(3, 16, dtype=torch.bfloat16), torch.zeros(8, 16, dtype=torch.int8)
    scales = torch.zeros(8, dtype=torch.bfloat16)
    assert counted(torch._weight_int8pack_mm, x, weight, scales).macs == 3 * 16 * 8


def test_weights_packed_to_four_bits() -> None:
    x = torch.zeros(3, 64, dtype=torch.bfloat16)
    weight = torch.ops.aten._convert_weight_to_int4pack_for_cpu(torch.zeros(32, 64, dtype=torch.int32), 1)
    scales = torch.zeros(2, 32, 2, dtype=torch.bfloat16)
    multiply = torch.ops.aten._weight_int4pack_mm_for_cpu
    assert counted(lambda a, w, s: multiply(a, w, 32, s), x, weight, scales).macs == 3 * 64 * 32


def test_a_sparse_operand_counts_as_a_dense_one() -> None:
    sparse = torch.eye(5).to_sparse()
    assert counted(torch.sparse.mm, sparse, torch.zeros(5, 7)).macs == 5 * 5 * 7


def test_a_complex_product_counts_as_a_real_one() -> None:
    left, right = torch.zeros(3, 4, dtype=torch.complex64), torch.zeros(4, 5, dtype=torch.complex64)
    assert counted(torch.matmul, left, right).macs == 3 * 4 * 5


def test_a_deformable_convolution() -> None:
    # 3×3 kernels over 10×10 leave 8×8; each offset is a pair.
    args = (torch.zeros(2, 4, 10, 10), torch.zeros(2, 18, 8, 8), torch.zeros(6, 4, 3, 3))
    assert counted(torchvision.ops.deform_conv2d, *args).macs == 2 * 6 * 8 * 8 * 4 * 9


def test_pooling_regions_is_free() -> None:
    boxes = torch.tensor([[0.0, 0.0, 0.0, 4.0, 4.0]])
    assert counted(lambda x, b: torchvision.ops.roi_align(x, b, 7), torch.zeros(1, 3, 16, 16), boxes).macs == 0


def test_suppressing_boxes_is_free_and_needs_values() -> None:
    profile = counted(lambda b, s: torchvision.ops.nms(b, s, 0.5), torch.zeros(5, 4), torch.zeros(5))
    assert (profile.macs, profile.run) == (0, "real")


@pytest.mark.parametrize("backend", ["MATH", "FLASH_ATTENTION"])
def test_attention_is_the_same_on_each_backend(backend: str) -> None:
    kind = getattr(torch.nn.attention.SDPBackend, backend)

    def attend(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
        with torch.nn.attention.sdpa_kernel(kind):
            return F.scaled_dot_product_attention(q, k, v)

    query, key = torch.zeros(2, 4, 5, 8), torch.zeros(2, 4, 7, 8)
    assert counted(attend, query, key, key).macs == 2 * 4 * 5 * 7 * 16


def test_attention_with_a_mask_counts_all_of_it() -> None:
    query = torch.zeros(2, 4, 5, 8)
    mask = torch.ones(5, 5, dtype=torch.bool).tril()
    attend = lambda q, m: F.scaled_dot_product_attention(q, q, q, attn_mask=m)  # noqa: E731
    assert counted(attend, query, mask).macs == 2 * 4 * 5 * 5 * 16


def test_grouped_queries_count_every_query_head() -> None:
    query, key = torch.zeros(2, 8, 5, 16), torch.zeros(2, 2, 7, 16)
    attend = lambda q, k: F.scaled_dot_product_attention(q, k, k, enable_gqa=True)  # noqa: E731
    assert counted(attend, query, key).macs == 2 * 8 * 5 * 7 * 32


_hands_over_higher_order = pytest.mark.skipif(
    not hasattr(TorchDispatchMode, "supports_higher_order_operators"),
    reason="this version of torch hands operations that take functions to modes of its own alone",
)


@_hands_over_higher_order
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("run", ["abstract", "real"])
def test_attention_with_a_score_function_is_counted_densely(run: Any) -> None:
    def attend(query: torch.Tensor, key: torch.Tensor) -> object:
        from torch.nn.attention.flex_attention import flex_attention

        return flex_attention(query, key, key)

    query, key = torch.zeros(1, 2, 16, 8), torch.zeros(1, 2, 32, 8)
    profile = measure(Run(attend), (query, key), run=run)
    assert (profile.macs, profile.run) == (1 * 2 * 16 * 32 * 16, run)
    assert profile.layers[""].output_shape == (1, 2, 16, 8)


@_hands_over_higher_order
@pytest.mark.filterwarnings("ignore")
def test_attention_with_a_mask_of_very_many_pairs_is_counted() -> None:
    def attend(query: torch.Tensor) -> object:
        from torch.nn.attention.flex_attention import create_block_mask, flex_attention

        # 1024² pairs are more truth values than stay real, and so are the blocks that are made of them.
        mask = create_block_mask(lambda _b, _h, q, k: q >= k, 1, 1, 1024, 1024, device="cpu")
        return flex_attention(query, query, query, block_mask=mask)

    # Queries with keys, weights with values, densely: 2·1024·1024·16.
    assert measure(Run(attend), (1, 1, 1024, 16), run="abstract").macs == 2 * 1024 * 1024 * 16


@_hands_over_higher_order
def test_a_branch_is_counted_as_it_is_taken() -> None:
    def choose(x: torch.Tensor, flag: torch.Tensor) -> object:
        return torch.cond(flag, lambda x: x @ x, lambda x: x.clone(), (x,))

    assert counted(choose, torch.zeros(3, 3), torch.tensor(True)).macs == 27
    assert counted(choose, torch.zeros(3, 3), torch.tensor(False)).macs == 0


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode, torch.enable_grad])
def test_no_gradient_mode_hides_a_product(mode: Any) -> None:
    layer = nn.Linear(4, 8)

    def run(x: torch.Tensor) -> torch.Tensor:
        with mode():
            return torch.matmul(layer(x), x.new_zeros(8, 3))

    assert counted(run, torch.zeros(2, 4)).macs == 2 * 4 * 8 + 2 * 8 * 3


@pytest.mark.parametrize("run", ["abstract", "real"])
def test_a_jagged_nested_tensor_is_taken_apart(run: Any) -> None:
    nested = torch.nested.nested_tensor([torch.zeros(2, 4), torch.zeros(3, 4)], layout=torch.jagged)
    profile = measure(nn.Linear(4, 8), (nested,), run=run)
    assert profile.macs == 5 * 4 * 8
    assert profile.layers[""].output_shape == (2, -1, 8)
    assert Profile.from_json(profile.to_json()) == profile


@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors")
def test_a_strided_nested_tensor_is_refused_with_what_to_do() -> None:
    nested = torch.nested.nested_tensor([torch.zeros(2, 4), torch.zeros(3, 4)])
    with pytest.raises(MeasurementError, match=r"make it with layout=torch\.jagged"):
        measure(nn.Linear(4, 8), (nested,))


def test_splitting_a_batch_over_devices_costs_nothing() -> None:
    profile = measure(nn.DataParallel(nn.Linear(4, 8)), (5, 4))
    assert (profile.macs, profile.uncounted) == (5 * 4 * 8, {})


def test_products_of_a_batched_function_count() -> None:
    layer = nn.Linear(4, 8)
    assert counted(torch.vmap(layer), torch.zeros(5, 4)).macs == 5 * 4 * 8


def test_products_of_a_gradient_inside_the_forward_pass_count() -> None:
    layer = nn.Linear(4, 1, bias=False)

    def force(x: torch.Tensor) -> torch.Tensor:
        with torch.enable_grad():
            x = x.detach().requires_grad_()
            return torch.autograd.grad(layer(x).sum(), x)[0]

    # Forwards, and backwards to the input.
    assert counted(force, torch.zeros(5, 4)).macs == 2 * 5 * 4


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("kind", "gates"), [(nn.LSTM, 4), (nn.GRU, 3)])
def test_a_quantized_recurrent_network(kind: Any, gates: int) -> None:
    quantize: Any = torch.ao.quantization.quantize_dynamic
    model = quantize(nn.Sequential(kind(16, 8)), {kind}, dtype=torch.qint8)
    profile = measure(model, (10, 1, 16))
    products = gates * 8 * (16 + 8)
    assert profile.macs == 10 * products
    # A byte a weight, and two float biases a gate.
    assert (profile.params, profile.size) == (products + 2 * gates * 8, products + 2 * gates * 8 * 4)


@pytest.mark.filterwarnings("ignore")
def test_a_quantized_convolution_and_linear_layer() -> None:
    quantized: Any = torch.ao.nn.quantized

    class Quantized(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.convolution = quantized.Conv2d(3, 8, 3)
            self.linear = quantized.Linear(8 * 36, 5)

        def forward(self, x: torch.Tensor) -> object:
            q = torch.quantize_per_tensor(x, 0.1, 0, torch.quint8)
            return self.linear(self.convolution(q).flatten(1)).dequantize()

    profile = measure(Quantized(), (2, 3, 8, 8))
    assert profile.uncounted == {}
    assert profile.macs == 2 * (8 * 36 * 27 + 5 * 8 * 36)
    assert profile.params == 8 * 27 + 8 + 5 * 288 + 5
    assert profile.layers["convolution"].dtypes == ("qint8", "float32")


def test_a_packed_sequence_counts_its_steps() -> None:
    lstm = nn.LSTM(16, 8)

    def run(x: torch.Tensor) -> object:
        return lstm(nn.utils.rnn.pack_padded_sequence(x, torch.tensor([5, 3])))

    assert counted(run, torch.zeros(5, 2, 16)).macs == (5 + 3) * 4 * 8 * (16 + 8)


def test_a_transformer_with_a_padding_mask() -> None:
    layer = nn.TransformerEncoderLayer(16, 4, 32, batch_first=True)
    encoder = nn.TransformerEncoder(layer, 2)
    mask = torch.tensor([[False, False, False, True, True]])
    block = 5 * 16 * 16 * 4 + 2 * 5 * 5 * 16 + 5 * 16 * 32 * 2
    inputs = {"src": torch.zeros(1, 5, 16), "src_key_padding_mask": mask}
    assert measure(encoder, inputs).macs == 2 * block


def test_a_decoder_attends_to_itself_and_to_the_memory() -> None:
    decoder = nn.TransformerDecoderLayer(16, 4, 32)
    own = 4 * 5 * 16 * 16 + 2 * 5 * 5 * 16
    cross = 2 * 5 * 16 * 16 + 2 * 7 * 16 * 16 + 2 * 5 * 7 * 16
    assert measure(decoder, (torch.zeros(5, 1, 16), torch.zeros(7, 1, 16))).macs == own + cross + 2 * 5 * 16 * 32


@pytest.mark.parametrize("transposed", [False, True])
def test_a_convolution_counts_as_pytorchs_own_formula_says(transposed: bool) -> None:
    operation = torch.ops.aten.convolution
    x, weight = torch.zeros(2, 4, 9, 8), torch.zeros(4, 2, 3, 5)
    args = (x, weight, None, [2, 1], [1, 2], [1, 1], transposed, [0, 0], 1 if transposed else 2)
    out = operation(*args)
    formula = formula_of(operation.default)
    assert formula is not None
    assert formula(*args, out=out) == flop_registry[operation](*args, out_val=out) // 2


def _operations() -> Iterator[Any]:
    for name in sorted({each.partition(".")[0] for each in torch._C._dispatch_get_all_op_names()}):
        namespace, _, operation = name.partition("::")
        packet = getattr(torch.ops.aten, operation, None) if namespace == "aten" else None
        for overload in packet.overloads() if packet is not None else ():
            func = getattr(packet, overload)
            try:
                composite = torch._C._dispatch_has_kernel_for_dispatch_key(func.name(), "CompositeImplicitAutograd")
            except RuntimeError:
                continue  # of TorchScript's interpreter alone
            if not composite:
                yield func


# Reviewed: products of backward passes, and of kernels that no module of PyTorch calls, or only on other devices.
UNKNOWN = re.compile(
    r"_foobar|_test_.*|.*_backward(_.*)?|_native_multi_head_attention|_transformer_encoder_layer_fwd|_triton_.*"
    r"|_flash_attention_forward_no_dropout_inplace|convolution_overrideable|cudnn_affine_grid_generator"
    r"|_cslt_sparse_mm_search"
)


def test_every_operation_of_aten_has_a_formula_or_is_free_or_is_known_to_be_unknown() -> None:
    open_questions = {
        func.overloadpacket.__name__ for func in _operations() if formula_of(func) is None and not is_free(func)
    }
    assert [name for name in sorted(open_questions) if not UNKNOWN.fullmatch(name)] == []


def test_no_operation_is_both_free_and_counted() -> None:
    assert [str(func) for func in _operations() if is_free(func) and formula_of(func) is not None] == []


@pytest.mark.parametrize("name", ["relu_", "add", "softmax", "layer_norm", "_fft_c2c", "elu_backward", "_foreach_add"])
def test_what_costs_no_macs(name: str) -> None:
    packet = getattr(torch.ops.aten, name if name != "layer_norm" else "native_layer_norm")
    assert is_free(getattr(packet, packet.overloads()[0]))


@pytest.mark.parametrize("name", ["mm", "convolution", "_trilinear", "_foreach_mm", "linear_backward", "_grouped_mm"])
def test_what_is_not_free(name: str) -> None:
    packet = getattr(torch.ops.aten, name, None)
    if packet is None:
        pytest.skip(f"this version of torch has no {name}")
    assert not is_free(getattr(packet, packet.overloads()[0]))
