"""Measuring: the only room that knows torch. `measure` is its door, and loads torch when it is called."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    import torch
    from torch import nn

    from pytest_modelbudget.profile.profile import Profile


def measure(
    model: nn.Module | Callable[[], nn.Module],
    inputs: Any,
    *,
    counter: str = "aten",
    mode: Literal["eval", "train"] = "eval",
    run: Literal["auto", "abstract", "real"] = "auto",
    dtype: torch.dtype | str | None = None,
) -> Profile:
    """Measure one forward pass, without changing the model and, where it can be, without weights.

    Args:
        model: a module, which is left exactly as it was, or a callable without arguments that builds one; its
            weights are then not allocated.
        inputs: a tensor; a shape, as a tuple of integers, for one floating-point tensor; a tuple of positional
            arguments; or a dict of keyword arguments.
        counter: what counts the MACs.
        mode: ``"eval"`` without gradients, or ``"train"`` with them.
        run: ``"abstract"`` on tensors without elements, ``"real"`` on real ones, or ``"auto"``: abstract, and real
            where the forward pass needs elements; the profile's ``note`` then says why.
        dtype: of the floating-point weights and inputs (``torch.bfloat16`` or ``"bfloat16"``); None leaves each its
            own.

    Raises:
        MeasurementError: the model cannot be built, fed or counted; an exception of its own code is the cause.
        ValueError: an argument is none of the values above.
    """
    from pytest_modelbudget.engine.arguments import given_inputs
    from pytest_modelbudget.engine.measuring import measure_subject
    from pytest_modelbudget.engine.sources import Subject

    return measure_subject(Subject(model), given_inputs(inputs), counter=counter, mode=mode, run=run, dtype=dtype)
