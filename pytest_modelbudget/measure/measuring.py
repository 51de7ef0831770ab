"""From a subject and its inputs to a profile."""

from __future__ import annotations

import os
import re
from typing import Any

import torch
from torch import nn

from pytest_modelbudget.errors import MeasurementError
from pytest_modelbudget.measure import counters
from pytest_modelbudget.measure.attribution import Attribution
from pytest_modelbudget.measure.counted import counted_by
from pytest_modelbudget.measure.inputs import InputSource
from pytest_modelbudget.measure.isolation import undisturbed, without_compiler
from pytest_modelbudget.measure.limits import FIRST, PATIENT, UNLIMITED
from pytest_modelbudget.measure.prepare import prepare
from pytest_modelbudget.measure.row import Row
from pytest_modelbudget.measure.run import Recorder, needs_values
from pytest_modelbudget.measure.settling import Settling
from pytest_modelbudget.measure.subject import Subject
from pytest_modelbudget.measure.weights import Weights, dtype_name, weigh
from pytest_modelbudget.metrics import COUNTERS
from pytest_modelbudget.profile import Layer, Profile

_NORMS = (
    *(nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm),
    *(nn.InstanceNorm1d, nn.InstanceNorm2d, nn.InstanceNorm3d, nn.LayerNorm, nn.GroupNorm),
)
_MODES = ("eval", "train")
_RUNS = ("auto", "abstract", "real")
# A model that imports something new each time is taken as it is in the end.
_TRIES = 3


def measure_subject(
    subject: Subject,
    inputs: InputSource,
    *,
    counter: str = "aten",
    mode: str = "eval",
    run: str = "auto",
    dtype: torch.dtype | str | None = None,
    operations: dict[str, dict[str, int]] | None = None,
) -> Profile:
    """Measure one case; see `pytest_modelbudget.measure` for the other arguments and errors.

    ``operations`` is filled with the MACs of each layer by operation, where the package's own counter counts.
    """
    _require("counter", counter, COUNTERS)
    _require("mode", mode, _MODES)
    _require("run", run, _RUNS)
    weights_dtype = _dtype(dtype)
    if counter != "aten":
        tool = counters.load(counter)
        profile = measure_subject(subject, inputs, mode=mode, run=run, dtype=dtype)
        return counted_by(tool, profile, subject, inputs, mode, run, weights_dtype)
    for _ in range(_TRIES):
        profile, is_settled = _measure(subject, inputs, mode, run, weights_dtype, operations)
        if is_settled:
            break
        subject = subject.again()
    return profile


def _measure(
    subject: Subject,
    inputs: InputSource,
    mode: str,
    run: str,
    dtype: torch.dtype | None,
    operations: dict[str, dict[str, int]] | None,
) -> tuple[Profile, bool]:
    """One profile, and whether the next measurement would give it too; see `Settling`."""
    note = ""
    if run != "real":
        left_integers = True
        for limits in (FIRST, PATIENT, UNLIMITED):
            if limits is UNLIMITED and not left_integers:
                break
            recorder = Recorder(abstract=True, limits=limits)
            with undisturbed():
                model = subject.abstract
                try:
                    profile, is_settled = _profile(model, inputs, recorder, mode, dtype, operations=operations)
                except MeasurementError as error:
                    if not needs_values(recorder, error.__cause__):
                        raise
                    note = str(error.__cause__).partition("\n")[0]
                else:
                    if not recorder.needed:
                        return profile, is_settled
                    # The model caught the error and went another way than it does on real tensors.
                    note = recorder.needed[0]
            left_integers = recorder.propagation is not None and recorder.propagation.left_integers
        if run == "abstract":
            raise MeasurementError(
                f"the forward pass needs the elements of a tensor ({note}), which an abstract run does not have; "
                'set run = "auto" or run = "real"'
            )
        _refuse_what_does_not_fit(model)
    # Each run starts from the same random numbers, whatever was tried before it.
    with undisturbed():
        return _profile(subject.real, inputs, Recorder(abstract=False), mode, dtype, note, operations)


def _profile(
    model: nn.Module,
    inputs: InputSource,
    recorder: Recorder,
    mode: str,
    dtype: torch.dtype | None,
    note: str = "",
    operations: dict[str, dict[str, int]] | None = None,
) -> tuple[Profile, bool]:
    """Run a copy of ``model`` under ``recorder``; also say whether it `is_settled`."""
    abstract = recorder.propagation is not None
    memory = recorder.memory
    training = mode == "train"
    copied, args, kwargs = prepare(model, inputs, memory, mode, dtype, abstract=abstract)
    attribution = Attribution(copied)
    recorder.row = attribution.rows[""]
    weights = weigh(attribution.modules)
    memory.allocate(sum(own.packed for own in weights.values()))
    attribution.watch(recorder)
    settling = Settling(memory)
    try:
        with torch.set_grad_enabled(training), without_compiler(), recorder:
            out = copied(*args, **kwargs)
    except (Exception, SystemExit) as error:
        text = str(error).strip().partition("\n")[0]
        failed = recorder.failed_in.name
        where = f" in {failed} ({type(attribution.modules[failed]).__name__})" if failed else ""
        raise MeasurementError(
            f"the forward pass failed{where} on {_shapes(args, kwargs)}: {type(error).__name__}: {text}", "inputs"
        ) from error
    finally:
        attribution.unwatch()
    del out
    is_settled = settling.is_settled()
    if operations is not None:
        operations.update((name, row.operations) for name, row in attribution.rows.items() if row.operations)
    layers = {
        name: _layer(row, attribution.modules[name], weights[name])
        for name, row in attribution.rows.items()
        if row.calls or row.macs or row.uncounted or attribution.is_first(name)
    }
    profile = Profile(
        layers=layers,
        peak_memory=memory.peak,
        mode=mode,
        run="abstract" if abstract else "real",
        note=note,
    )
    return profile, is_settled


def _layer(row: Row, module: nn.Module, weights: Weights) -> Layer:
    return Layer(
        name=row.name,
        type=type(module).__name__,
        spec=_spec(module),
        calls=row.calls,
        input_shape=row.input_shape,
        output_shape=row.output_shape,
        params=weights.params,
        trainable_params=weights.trainable_params,
        size=weights.size,
        macs=row.macs,
        activations=row.activations,
        peak_memory=row.peak_memory,
        dtypes=tuple(weights.dtypes),
        shared_with=tuple(weights.shared_with),
        uncounted=dict(sorted(row.uncounted.items())) if row.uncounted else {},
    )


def _spec(module: nn.Module) -> str:
    """The module's own description; empty where it needs elements to give one."""
    if type(module).extra_repr is nn.Module.extra_repr:
        return ""
    try:
        spec = str(module.extra_repr())
    except Exception:
        return ""
    return _without_usual_bias(spec) if isinstance(module, _NORMS) else spec


def _without_usual_bias(spec: str) -> str:
    """The description of a norm without a bias that is there as it is by default.

    Newer versions of PyTorch say so and older ones do not, and what one records another has to compare with.
    """
    affine = re.search(r"affine=(True|False)", spec)
    return spec.replace(f", bias={affine[1]}", "") if affine else spec


def _require(name: str, value: object, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise ValueError(f"{name}: {value!r} is none of {', '.join(map(repr, allowed))}")


def _dtype(dtype: torch.dtype | str | None) -> torch.dtype | None:
    found = getattr(torch, dtype, None) if isinstance(dtype, str) else dtype
    if found is not None and (not isinstance(found, torch.dtype) or not found.is_floating_point):
        raise ValueError(f"dtype: {dtype!r} is no floating-point dtype")
    if found is None and dtype is not None:
        raise ValueError(f"dtype: {dtype!r} is no floating-point dtype")
    return found


def _shapes(args: tuple[Any, ...], kwargs: dict[str, Any]) -> str:
    """The inputs of a failing call, as short as a reader can tell them apart."""

    def show(value: Any) -> str:
        if isinstance(value, torch.Tensor):
            return f"{dtype_name(value.dtype)} {'×'.join(map(str, value.shape)) or 'scalar'}"
        if isinstance(value, list | tuple):
            return f"[{', '.join(map(show, value))}]"
        if isinstance(value, dict):
            return f"{{{', '.join(f'{key}: {show(item)}' for key, item in value.items())}}}"
        return repr(value)

    parts = [*map(show, args), *(f"{name}={show(value)}" for name, value in kwargs.items())]
    return ", ".join(parts) or "no inputs"


def _refuse_what_does_not_fit(model: nn.Module) -> None:
    needed = sum(p.numel() * p.dtype.itemsize for p in model.parameters())
    try:
        free = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_AVPHYS_PAGES")
    except (AttributeError, ValueError, OSError):  # not a POSIX system
        return
    if needed > free:
        raise MeasurementError(
            f"the forward pass needs the elements of a tensor, so it has to run on real tensors, but the weights alone "
            f"take {needed / 1e9:.1f} GB and {free / 1e9:.1f} GB of memory are free"
        )
