"""What one forward pass needs: a copy of the model, in its mode, and what it is called with."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import torch
from torch import nn

from pytest_modelbudget.engine.arguments import Arguments, InputSource, Maker
from pytest_modelbudget.engine.copying import Copier
from pytest_modelbudget.engine.draws import seed_all
from pytest_modelbudget.engine.memory import Memory
from pytest_modelbudget.engine.originals import Swap
from pytest_modelbudget.engine.recorder import Recorder
from pytest_modelbudget.errors import MeasurementError

_COMPUTED = (torch.float32, torch.float16, torch.bfloat16, torch.float64)


@contextmanager
def prepared(
    model: nn.Module, inputs: InputSource, recorder: Recorder, mode: str, dtype: torch.dtype | None, *, in_place: bool
) -> Iterator[tuple[nn.Module, tuple[Any, ...], dict[str, Any]]]:
    """A copy of a model in its mode, and the arguments that it is called with.

    ``in_place`` has the model's own modules hold for a while what those of the copy would, and gives the model itself.

    Raises:
        MeasurementError: the model cannot be copied, or not be set to its mode, or its inputs cannot be made.
    """
    abstract = recorder.propagation is not None
    swap = Swap() if in_place else None
    copied = Copier(recorder.memory, abstract=abstract, dtype=dtype, originals=recorder.originals, swap=swap).copy(
        model
    )
    with nullcontext() if swap is None else swap.running():
        _set_mode(copied, mode)
        # The inputs are the same whether the model was built before them, and as what.
        seed_all()
        args, kwargs = _made(copied, inputs, recorder.memory, dtype, abstract=abstract)
        seed_all()
        yield copied, args, kwargs


def _set_mode(model: nn.Module, mode: str) -> None:
    training = mode == "train"
    if all(module.training == training for module in model.modules()):
        return
    try:
        model.train(training)
    except NotImplementedError:
        # An exported model was traced in one mode, and stays in it whatever it says.
        for module in model.modules():
            module.training = training
    except Exception as error:
        # A model that holds itself among its modules, for one, cannot be walked.
        raise MeasurementError(f"the model cannot be set to {mode} mode: {type(error).__name__}: {error}") from error


def _made(
    model: nn.Module, inputs: InputSource, memory: Memory, dtype: torch.dtype | None, *, abstract: bool
) -> Arguments:
    maker = Maker(
        memory, abstract=abstract, dtype=dtype or _dtype_of(model), cast=dtype is not None, device=_device_of(model)
    )
    try:
        return inputs(maker)
    except MeasurementError:
        raise
    except (Exception, SystemExit) as error:
        raise MeasurementError(f"the inputs could not be made: {type(error).__name__}: {error}", "inputs") from error


def _dtype_of(model: nn.Module) -> torch.dtype:
    """The dtype of floating-point inputs: that of the first weight in which PyTorch computes."""
    return next((p.dtype for p in model.parameters() if p.dtype in _COMPUTED), torch.float32)


def _device_of(model: nn.Module) -> torch.device:
    return next((p.device for p in model.parameters()), torch.device("cpu"))
