"""The tensors that a model is called with, made from what describes them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch

from pytest_modelbudget.engine.abstract import describe, make
from pytest_modelbudget.engine.copying import Copier
from pytest_modelbudget.engine.memory import Memory, Storage
from pytest_modelbudget.errors import MeasurementError
from pytest_modelbudget.settings.inputs import (
    InputSpec,
    Keywords,
    ListSpec,
    Made,
    Positional,
    Spec,
    TableSpec,
    TensorSpec,
)

Arguments = tuple[tuple[Any, ...], dict[str, Any]]


class Maker:
    """Makes the inputs of one forward pass.

    Args:
        memory: where they count as alive.
        abstract: whether floating-point tensors are abstract.
        dtype: of floating-point tensors for which no other is said.
        cast: whether floating-point tensors that are given get ``dtype`` too.
        device: where they are put.
    """

    def __init__(self, memory: Memory, *, abstract: bool, dtype: torch.dtype, cast: bool, device: torch.device) -> None:
        self._memory = memory
        self._abstract = abstract
        self._dtype = dtype
        self._device = device
        self._copier = Copier(memory, abstract=abstract, dtype=dtype if cast else None, keeps_small=False)

    def tensor(self, spec: TensorSpec) -> torch.Tensor:
        """The tensor of a description; random ones are the same each time."""
        drawn = spec.low is not None or spec.high is not None
        dtype = getattr(torch, spec.dtype) if spec.dtype else torch.int64 if drawn else self._dtype
        if self._abstract and (dtype.is_floating_point or dtype.is_complex):
            strides = torch.empty(spec.shape, device="meta").stride()
            description = describe(spec.shape, strides, dtype, self._device)
            return make(description, Storage(description.nbytes, self._memory))
        if spec.fill is not None:
            made = torch.full(spec.shape, spec.fill, dtype=dtype, device=self._device)
        elif drawn:
            made = torch.randint(spec.low or 0, spec.high or 0, spec.shape, dtype=dtype, device=self._device)
        elif dtype.is_floating_point or dtype.is_complex:
            made = torch.rand(spec.shape, dtype=torch.float32, device=self._device).to(dtype)
        else:
            made = torch.zeros(spec.shape, dtype=dtype, device=self._device)
        self._memory.hold_real(made)
        return made

    def given(self, value: Any) -> Any:
        """A copy of a given value, so that a forward pass that writes into its inputs leaves it as it was."""
        return self._copier.value(value)


InputSource = Callable[[Maker], Arguments]


def given_inputs(inputs: Any) -> InputSource:
    """The inputs that `measure` takes.

    Raises:
        ValueError: they are none of the forms that it takes.
    """
    if isinstance(inputs, torch.Tensor):
        return lambda maker: ((maker.given(inputs),), {})
    if isinstance(inputs, Mapping):
        if not all(isinstance(name, str) for name in inputs):
            raise ValueError("inputs: a dict of inputs has the names of keyword arguments as its keys")
        return lambda maker: ((), {name: maker.given(value) for name, value in inputs.items()})
    if isinstance(inputs, list | tuple):
        if inputs and all(isinstance(size, int) and not isinstance(size, bool) for size in inputs):
            if min(inputs) < 1:
                raise ValueError(f"inputs: the shape {tuple(inputs)} has a dimension below 1")
            return lambda maker: ((maker.tensor(TensorSpec(shape=tuple(inputs))),), {})
        if isinstance(inputs, tuple):
            return lambda maker: (tuple(maker.given(value) for value in inputs), {})
    raise ValueError(
        f"inputs: expected a tensor, a shape such as (1, 3, 224, 224), a tuple of positional arguments or a dict of "
        f"keyword arguments, not {type(inputs).__name__}"
    )


def described_inputs(spec: InputSpec, call: Callable[[str], Any]) -> InputSource:
    """The inputs that the settings describe; ``call`` gives the result of a ``module:callable``."""
    if isinstance(spec, Made):
        by = spec.by

        def made(maker: Maker) -> Arguments:
            try:
                given = call(by)
            except MeasurementError as error:
                raise MeasurementError(str(error), "inputs") from error.__cause__
            try:
                source = given_inputs(given)
            except ValueError as error:
                raise MeasurementError(f"{by} gave no {error}", "inputs") from None
            return source(maker)

        return made
    if isinstance(spec, Keywords):
        keywords = spec.kwargs
        return lambda maker: ((), {name: _make(each, maker) for name, each in keywords.items()})
    positional: Positional = spec
    return lambda maker: (tuple(_make(each, maker) for each in positional.args), {})


def _make(spec: Spec, maker: Maker) -> Any:
    if isinstance(spec, TensorSpec):
        return maker.tensor(spec)
    if isinstance(spec, ListSpec):
        return [_make(item, maker) for item in spec.items]
    if isinstance(spec, TableSpec):
        return {name: _make(item, maker) for name, item in spec.items.items()}
    return spec.value
