"""Peak memory of the abstract run against what PyTorch's CPU profiler sees of a real one.

The profiler also sees what a kernel allocates inside (a convolution may unfold its input), which no tensor holds.
"""

from __future__ import annotations

import pytest
import torch
import torchvision
from torch import nn
from torch.profiler import ProfilerActivity, profile

from pytest_modelbudget import measure


def profiled_peak(model: nn.Module, inputs: torch.Tensor) -> int:
    """Most bytes alive: weights, buffers and input, and what the profiler saw allocated and not yet freed."""
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with torch.no_grad(), profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
            out = model(inputs)
    finally:
        torch.backends.mha.set_fastpath_enabled(True)
    del out
    events = [event for event in profiler.profiler.kineto_results.events() if event.name() == "[memory]"]
    alive = peak = 0
    for event in sorted(events, key=lambda event: event.start_ns()):
        alive += event.nbytes()
        peak = max(peak, alive)
    held = [*model.parameters(), *model.buffers(), inputs]
    return peak + sum(tensor.numel() * tensor.element_size() for tensor in held)


@pytest.mark.parametrize("name", ["resnet18", "swin_t"])
def test_peak_memory_is_the_profilers_to_a_few_kibibytes(name: str) -> None:
    model, inputs = getattr(torchvision.models, name)().eval(), torch.rand(2, 3, 224, 224)
    assert abs(measure(model, inputs).peak_memory - profiled_peak(model, inputs)) < 4096


@pytest.mark.parametrize("name", ["alexnet", "resnet50", "vit_b_32", "regnet_y_400mf", "convnext_tiny"])
def test_peak_memory_agrees_with_the_profiler_within_five_percent(name: str) -> None:
    model, inputs = getattr(torchvision.models, name)().eval(), torch.rand(2, 3, 224, 224)
    assert measure(model, inputs).peak_memory == pytest.approx(profiled_peak(model, inputs), rel=0.05)
