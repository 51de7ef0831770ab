"""From a subject and its inputs to a profile."""

from __future__ import annotations

import os
import re
from contextlib import nullcontext
from typing import Any

import torch
from torch import nn

from pytest_modelbudget.engine import counters
from pytest_modelbudget.engine.arguments import InputSource
from pytest_modelbudget.engine.attribution import Attribution
from pytest_modelbudget.engine.counted import counted_by
from pytest_modelbudget.engine.isolation import in_turn, undisturbed, without_compiler
from pytest_modelbudget.engine.layer_work import Row
from pytest_modelbudget.engine.limits import FIRST, PATIENT, UNLIMITED, Limits
from pytest_modelbudget.engine.onednn import recurrence_by_steps
from pytest_modelbudget.engine.prepare import prepared
from pytest_modelbudget.engine.recorder import Recorder, needs_values
from pytest_modelbudget.engine.settling import Settling
from pytest_modelbudget.engine.sources import Subject
from pytest_modelbudget.engine.weights import Weights, dtype_name, weigh
from pytest_modelbudget.errors import MeasurementError
from pytest_modelbudget.profile.layer import Layer
from pytest_modelbudget.profile.profile import Profile
from pytest_modelbudget.settings.counters import OWN, counter_names, is_counter

_NORMS = (
    *(nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm),
    *(nn.InstanceNorm1d, nn.InstanceNorm2d, nn.InstanceNorm3d, nn.LayerNorm, nn.GroupNorm),
)
_MODES = ("eval", "train")
_RUNS = ("auto", "abstract", "real")
# A model that imports something new each time is taken as it is in the end.
_TRIES = 3


@in_turn
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

    ``operations`` is filled with the MACs of each layer by operation, as the counter gives them.
    """
    if not is_counter(counter):
        _require("counter", counter, counter_names())
    _require("mode", mode, _MODES)
    _require("run", run, _RUNS)
    weights_dtype = _dtype(dtype)
    if counter != OWN:
        tool = counters.load(counter)
        profile = measure_subject(subject, inputs, mode=mode, run=run, dtype=dtype)
        return counted_by(tool, profile, subject, inputs, mode, run, weights_dtype, operations)
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
            recorder, result = _run(subject, inputs, mode, dtype, limits, operations=operations)
            if isinstance(result, Profile):
                if not recorder.needed:
                    return result, recorder.is_settled
                # The model caught the error and went another way than it does on real tensors.
                note = recorder.needed[0]
            elif needs_values(recorder, result.__cause__):
                note = str(result.__cause__).partition("\n")[0]
            else:
                raise result
            left_integers = recorder.propagation is not None and recorder.propagation.left_integers
        if run == "abstract":
            raise MeasurementError(
                f"the forward pass needs the elements of a tensor ({note}), which an abstract run does not have; "
                'set run = "auto" or run = "real"'
            )
        _refuse_what_does_not_fit(subject.abstract)
    recorder, result = _run(subject, inputs, mode, dtype, None, note=note, operations=operations)
    if isinstance(result, MeasurementError):
        raise result
    return result, recorder.is_settled


def _run(
    subject: Subject,
    inputs: InputSource,
    mode: str,
    dtype: torch.dtype | None,
    limits: Limits | None,
    *,
    note: str = "",
    operations: dict[str, dict[str, int]] | None = None,
) -> tuple[Recorder, Profile | MeasurementError]:
    """Run a copy of a subject; or the subject in place, from where its copy would use the subject itself.

    Each run starts from the same random numbers, whatever was tried before it. ``limits`` says up to where tensors stay
    real in an abstract run; None is a real one.

    Raises:
        MeasurementError: the model cannot be built, or its forward pass cannot be kept from its own tensors.
    """

    def once() -> tuple[Recorder, Profile | MeasurementError]:
        recorder = Recorder(abstract=limits is not None, limits=limits or FIRST)
        with undisturbed():
            model = subject.real if limits is None else subject.abstract
            result: Profile | MeasurementError
            try:
                result = _profile(model, inputs, recorder, mode, dtype, note, operations, in_place)
            except MeasurementError as error:
                result = error
        if recorder.originals.outside is not None:
            raise MeasurementError(
                f"the forward pass writes to {recorder.originals.outside}, and so would change it; "
                "make it an attribute of a module of the model"
            )
        return recorder, result

    in_place = subject.runs_in_place
    if not in_place:
        recorder, result = once()
        if recorder.originals.used is None:
            return recorder, result
        recorder.originals.put_back()
        in_place = subject.runs_in_place = True
    recorder, result = once()
    if recorder.originals.used is not None:
        model = subject.real if limits is None else subject.abstract
        raise MeasurementError(
            f"the forward pass uses {recorder.originals.told(model)}, and so cannot be measured without changing it; "
            "let it reach its tensors through self"
        ) from recorder.originals.used
    return recorder, result


def _profile(
    model: nn.Module,
    inputs: InputSource,
    recorder: Recorder,
    mode: str,
    dtype: torch.dtype | None,
    note: str = "",
    operations: dict[str, dict[str, int]] | None = None,
    in_place: bool = False,
) -> Profile:
    """Run a copy of ``model`` under ``recorder``; or, ``in_place``, its own modules with what a copy would hold."""
    abstract = recorder.propagation is not None
    memory = recorder.memory
    training = mode == "train"
    with prepared(model, inputs, recorder, mode, dtype, in_place=in_place) as (copied, args, kwargs):
        attribution = Attribution(copied)
        recorder.row = attribution.rows[""]
        weights = weigh(attribution.modules)
        memory.allocate(sum(own.packed for own in weights.values()))
        attribution.watch(recorder)
        unseen = not in_place and attribution.may_run_unseen()
        calls = recorder.originals.calls_refused() if unseen else nullcontext()
        settling = Settling(memory)
        try:
            with torch.set_grad_enabled(training), without_compiler(), recurrence_by_steps(), recorder, calls:
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
        recorder.is_settled = settling.is_settled()
        if operations is not None:
            operations.update((name, row.operations) for name, row in attribution.rows.items() if row.operations)
        layers = {
            name: _layer(row, attribution.modules[name], weights[name])
            for name, row in attribution.rows.items()
            if row.calls or row.macs or row.uncounted or attribution.is_first(name)
        }
        return Profile(
            layers,
            peak_memory=memory.peak,
            mode=mode,
            run="abstract" if abstract else "real",
            note=note,
        )


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
