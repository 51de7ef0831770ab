"""What one forward pass needs: a copy of the model, in its mode, and what it is called with."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from pytest_modelbudget.errors import MeasurementError
from pytest_modelbudget.measure.copying import Copier
from pytest_modelbudget.measure.inputs import InputSource, Maker
from pytest_modelbudget.measure.memory import Memory

_COMPUTED = (torch.float32, torch.float16, torch.bfloat16, torch.float64)


def prepare(
    model: nn.Module, inputs: InputSource, memory: Memory, mode: str, dtype: torch.dtype | None, *, abstract: bool
) -> tuple[nn.Module, tuple[Any, ...], dict[str, Any]]:
    """A copy of a model in its mode, and the arguments that it is called with.

    Raises:
        MeasurementError: the model cannot be copied, or not be set to its mode, or its inputs cannot be made.
    """
    copied = Copier(memory, abstract=abstract, dtype=dtype).copy(model)
    training = mode == "train"
    if any(module.training != training for module in copied.modules()):
        try:
            copied.train(training)
        except Exception as error:
            # A model that holds itself among its modules, for one, cannot be walked.
            raise MeasurementError(
                f"the model cannot be set to {mode} mode: {type(error).__name__}: {error}"
            ) from error
    maker = Maker(
        memory,
        abstract=abstract,
        dtype=dtype or _dtype_of(copied),
        cast=dtype is not None,
        device=_device_of(copied),
    )
    try:
        args, kwargs = inputs(maker)
    except MeasurementError:
        raise
    except (Exception, SystemExit) as error:
        raise MeasurementError(f"the inputs could not be made: {type(error).__name__}: {error}", "inputs") from error
    return copied, args, kwargs


def _dtype_of(model: nn.Module) -> torch.dtype:
    """The dtype of floating-point inputs: that of the first weight in which PyTorch computes."""
    return next((p.dtype for p in model.parameters() if p.dtype in _COMPUTED), torch.float32)


def _device_of(model: nn.Module) -> torch.device:
    return next((p.device for p in model.parameters()), torch.device("cpu"))
