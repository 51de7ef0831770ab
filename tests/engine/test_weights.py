"""Parameters and bytes: each tensor once, each storage once, at its own dtype."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from pytest_modelbudget import measure


class Tied(nn.Module):
    """An embedding whose weights are also the head's."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(10, 4)
        self.head = nn.Linear(4, 10, bias=False)
        self.head.weight = self.embedding.weight

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        return self.head(self.embedding(ids))  # type: ignore[no-any-return]


IDS = (torch.zeros(1, 3, dtype=torch.int64),)


@pytest.mark.parametrize("model", [Tied, Tied()], ids=["built", "given"])
def test_tied_weights_count_once(model: nn.Module) -> None:
    profile = measure(model, IDS)
    assert profile.params == 40
    assert profile.size == 160
    assert profile.macs == 3 * 4 * 10
    assert profile.layers["embedding"].params == 40
    assert profile.layers["head"].params == 0
    assert profile.layers["head"].shared_with == ("embedding",)


def test_frozen_parameters_are_not_trainable() -> None:
    model = nn.Sequential(nn.Linear(4, 8), nn.Linear(8, 2))
    model[0].requires_grad_(False)
    profile = measure(model, (1, 4))
    assert (profile.params, profile.trainable_params) == (58, 18)


def test_size_has_persistent_buffers_and_no_others() -> None:
    class Buffered(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("kept", torch.zeros(10, dtype=torch.int64))
            self.register_buffer("derived", torch.zeros(1000), persistent=False)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x

    profile = measure(Buffered(), (1, 1))
    assert (profile.params, profile.size) == (0, 80)


def test_a_batch_norm_stores_its_statistics() -> None:
    # Weight and bias, running mean and variance of 8 channels at 4 bytes, and one int64 counter.
    profile = measure(nn.BatchNorm2d(8), (1, 8, 4, 4))
    assert (profile.params, profile.size) == (16, 4 * 8 * 4 + 8)


def test_views_of_one_storage_are_stored_once() -> None:
    class Halves(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            whole = torch.zeros(10)
            self.first = nn.Parameter(whole[:5])
            self.second = nn.Parameter(whole[5:])

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x + self.first.sum() + self.second.sum()

    profile = measure(Halves(), (1, 1))
    assert (profile.params, profile.size) == (10, 40)


def test_each_tensor_is_stored_at_its_own_dtype() -> None:
    model = nn.Sequential(nn.Linear(4, 8), nn.Linear(8, 2).half())
    assert measure(model[0], (1, 4)).size == 40 * 4
    assert measure(model[1], (torch.zeros(1, 8, dtype=torch.float16),)).size == 18 * 2


@pytest.mark.parametrize("dtype", ["bfloat16", torch.bfloat16])
def test_the_dtype_of_weights_and_inputs_can_be_set(dtype: str) -> None:
    profile = measure(nn.Linear(4, 8), (1, 4), dtype=dtype)
    assert (profile.params, profile.size, profile.layers[""].dtypes) == (40, 80, ("bfloat16",))


def test_a_float_input_has_the_dtype_of_the_weights() -> None:
    assert measure(nn.Linear(4, 8).double(), (1, 4)).macs == 32


def test_a_sparse_parameter_is_stored_as_its_parts() -> None:
    class Sparse(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("mask", torch.eye(4).to_sparse())

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x

    # Four values of 4 bytes, at two int64 indices each.
    assert measure(Sparse(), (1, 1)).size == 4 * 4 + 4 * 2 * 8


def test_a_lazy_module_is_refused_with_what_to_do() -> None:
    from pytest_modelbudget import MeasurementError

    with pytest.raises(MeasurementError, match="call the model once before it is measured"):
        measure(nn.LazyLinear(4), (1, 4))
