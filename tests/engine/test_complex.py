"""A complex multiply-accumulate counts as one, also where PyTorch makes three real convolutions of a complex one."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from pytest_modelbudget import Profile, measure

COMPLEX = torch.complex64


def measured(model: nn.Module, shape: tuple[int, ...], run: Any, mode: Any = "eval") -> Profile:
    return measure(model, (torch.zeros(shape, dtype=COMPLEX),), run=run, mode=mode)


@pytest.mark.parametrize("mode", ["eval", "train"])
@pytest.mark.parametrize("run", ["abstract", "real"])
@pytest.mark.parametrize(
    ("module", "shape", "macs", "activations"),
    [
        # 4 features of 16×16 from 2 channels of 3×3.
        (nn.Conv2d(2, 4, 3, dtype=COMPLEX), (1, 2, 18, 18), 4 * 16 * 16 * 2 * 9, 4 * 16 * 16),
        (nn.Conv1d(2, 4, 4, padding="same", dtype=COMPLEX), (1, 2, 18), 4 * 18 * 2 * 4, 4 * 18),
        (nn.Conv3d(4, 4, 1, groups=2, bias=False, dtype=COMPLEX), (3, 4, 2, 2, 2), 3 * 4 * 8 * 2, 3 * 4 * 8),
        # Each of 2·5 inputs meets the kernel of 4 features.
        (nn.ConvTranspose1d(2, 4, 3, dtype=COMPLEX), (1, 2, 5), 2 * 5 * 4 * 3, 4 * 7),
    ],
)
@pytest.mark.filterwarnings("ignore:Using padding='same'")
def test_a_complex_convolution_counts_once(
    module: nn.Module, shape: tuple[int, ...], macs: int, activations: int, run: str, mode: str
) -> None:
    profile = measured(module, shape, run, mode)
    assert (profile.macs, profile.activations) == (macs, activations)


class Apart(nn.Module):
    """A complex convolution written out as four real ones, after a complex one of PyTorch's."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(2, 2, 1, dtype=COMPLEX)
        self.real = nn.Conv2d(2, 2, 1)
        self.imaginary = nn.Conv2d(2, 2, 1)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        parts = torch.view_as_real(self.first(x))
        real, imaginary = parts[..., 0], parts[..., 1]
        return self.real(real) - self.imaginary(imaginary), self.real(imaginary) + self.imaginary(real)


@pytest.mark.parametrize("run", ["abstract", "real"])
def test_convolutions_that_a_model_makes_itself_count_each(run: str) -> None:
    profile = measured(Apart(), (1, 2, 3, 3), run)
    # Each multiplies 9 positions by 2×2.
    assert [profile.layers[name].macs for name in ("first", "real", "imaginary")] == [36, 72, 72]
