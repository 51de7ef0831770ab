"""Measures PyTorch's own samples of its operators, on abstract tensors and on real ones, and tells where they differ.

``python -m benchmarks.operators`` runs every sample of `op_db` as the forward pass of a module and compares every
metric, and the shape, stride and dtype of every result. ``--layouts`` lays the samples' tensors out in other ways
(channels last, transposed, expanded) first. The exit code is 1 where a sample differs or crashes.
"""

from __future__ import annotations

import argparse
import contextlib
import multiprocessing
import sys
import warnings
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.utils import _pytree as pytree

from pytest_modelbudget.engine.arguments import given_inputs
from pytest_modelbudget.engine.layouts import format_of
from pytest_modelbudget.engine.measuring import measure_subject
from pytest_modelbudget.engine.sources import Subject
from pytest_modelbudget.errors import MeasurementError

EQUAL, FELL_BACK, REFUSED, UNSOLVABLE = "equal", "fell back", "refused in both", "unsolvable"
DIFFER, CRASH = "DIFFER", "CRASH"
SETTINGS = ("float32 eval", "float32 train", "bfloat16 eval", "complex64 eval", "int64 eval")
FORMS = ("function", "in place", "out")
_NEEDS = "needs the elements of a tensor"
# What `torch.linalg` says of numbers for which there is no answer; an abstract run has no numbers.
_NO_ANSWER = ("_LinAlgError", "is zero and using it")
SEED = 0


class Operator(nn.Module):
    """A module whose forward pass is one operator, and which notes what the results are like."""

    def __init__(self, function: Callable[..., Any], results: list[Any]) -> None:
        super().__init__()
        # In a function, since that is not copied.
        self.run: Callable[..., Any] = lambda *args, **kwargs: _noted(function(*args, **kwargs), results)

    def forward(self, args: Any, kwargs: Any) -> Any:
        return self.run(*args, **kwargs)


def _noted(out: Any, results: list[Any]) -> Any:
    results[:] = [described(leaf) for leaf in pytree.tree_leaves(out)]
    return out


def described(value: Any) -> Any:
    """What is compared of a result."""
    if not isinstance(value, torch.Tensor):
        return type(value).__name__
    if value.layout is not torch.strided or value.is_nested:
        return str(value.layout), str(value.dtype)
    # Whether it can be viewed in another shape depends on the strides of dimensions of more than one element alone, and
    # how later operations lay out their results on the memory format beside: the other strides mean nothing.
    strides = [step for size, step in zip(value.shape, value.stride(), strict=True) if size > 1 and value.numel()]
    return tuple(value.shape), strides, str(format_of(value)) if value.numel() else None, str(value.dtype)


@dataclass
class Outcome:
    """What became of a sample.

    Attributes:
        verdict: one of the words above.
        detail: what differs, or why it fell back or was refused.
    """

    verdict: str
    detail: str = ""


def compare(function: Callable[..., Any], args: Any, kwargs: Any, mode: str = "eval") -> Outcome:
    """Measure one call on abstract and on real tensors."""
    found: dict[str, Any] = {}
    for run in ("abstract", "real"):
        results: list[Any] = []
        subject = Subject(Operator(function, results))
        try:
            profile = measure_subject(subject, given_inputs((args, kwargs)), mode=mode, run=run)
        except MeasurementError as error:
            found[run] = str(error).replace("AbstractTensor", "Tensor")
        except Exception as error:
            return Outcome(CRASH, f"{run}: {type(error).__name__}: {str(error)[:200]}")
        else:
            found[run] = {
                "results": results,
                **{
                    metric: getattr(profile, metric)
                    for metric in ("params", "size", "macs", "activations", "peak_memory", "uncounted")
                },
                "output_shape": profile.layers[""].output_shape,
            }
    abstract, real = found["abstract"], found["real"]
    if isinstance(abstract, str) and _NEEDS in abstract:
        return Outcome(FELL_BACK, abstract.partition("(")[2].partition(")")[0])
    if isinstance(abstract, str) and isinstance(real, str):
        same = _message(abstract) == _message(real)
        return Outcome(REFUSED, "" if same else f"in other words: {_message(abstract)} | {_message(real)}")
    if isinstance(real, str) and any(words in real for words in _NO_ANSWER):
        return Outcome(UNSOLVABLE, _message(real))
    if isinstance(abstract, str) or isinstance(real, str):
        return Outcome(DIFFER, f"abstract {abstract}, real {real}")
    differing = [f"{key} {abstract[key]} | {real[key]}" for key in abstract if abstract[key] != real[key]]
    return Outcome(DIFFER, "; ".join(differing)) if differing else Outcome(EQUAL)


def _message(error: str) -> str:
    return error.partition(": ")[2]


# -- samples -------------------------------------------------------------------------------------------------------


def operators() -> list[Any]:
    """PyTorch's list of operators with samples."""
    from torch.testing._internal.common_methods_invocations import op_db

    return list(op_db)


def samples(op: Any, setting: str, form: str) -> Iterator[tuple[Callable[..., Any], Any, Any]]:
    """The calls of an operator in a setting (dtype and mode) and a form: function, arguments, keyword arguments."""
    dtype_name, mode = setting.split()
    dtype = getattr(torch, dtype_name)
    if dtype not in op.supported_dtypes("cpu"):
        return
    function = op.op if form != "in place" else op.inplace_variant
    if function is None or (form == "out" and not op.supports_out):
        return
    requires_grad = mode == "train" and op.supports_autograd and form == "function"
    torch.manual_seed(SEED)
    for sample in op.sample_inputs("cpu", dtype, requires_grad=requires_grad):
        if form == "in place" and sample.broadcasts_input:
            continue
        args, kwargs = [sample.input, *sample.args], dict(sample.kwargs)
        if form == "out":
            out = _room_for(function, args, kwargs)
            if out is None:
                continue
            kwargs["out"] = out
        yield function, args, kwargs


def _room_for(function: Callable[..., Any], args: Any, kwargs: Any) -> Any:
    """Tensors that take a call's results, or None where the call fails or gives something else."""
    try:
        out = function(*args, **kwargs)
    except Exception:
        return None
    if isinstance(out, torch.Tensor):
        return torch.empty_like(out)
    if isinstance(out, tuple | list) and out and all(isinstance(each, torch.Tensor) for each in out):
        return tuple(torch.empty_like(each) for each in out)
    return None


def _channels_last(tensor: torch.Tensor) -> torch.Tensor:
    formats = {4: torch.channels_last, 5: torch.channels_last_3d}
    if tensor.dim() in formats:
        return tensor.contiguous(memory_format=formats[tensor.dim()])
    if tensor.dim() == 3:
        return tensor.transpose(1, 2).contiguous().transpose(1, 2)
    return tensor


def _transposed(tensor: torch.Tensor) -> torch.Tensor:
    if tensor.dim() < 2:
        return tensor
    return tensor.transpose(-1, -2).contiguous().transpose(-1, -2)


def _outside_in(tensor: torch.Tensor) -> torch.Tensor:
    """The first dimension last in memory, as after a permutation."""
    if tensor.dim() < 2:
        return tensor
    return tensor.movedim(0, -1).contiguous().movedim(-1, 0)


def _expanded(tensor: torch.Tensor) -> torch.Tensor:
    """The first dimension all one slice of memory."""
    if tensor.dim() < 2 or tensor.shape[0] == 0:
        return tensor
    return tensor[:1].contiguous().expand(tensor.shape)


def _strided(tensor: torch.Tensor) -> torch.Tensor:
    """Every second element of a larger tensor."""
    if tensor.dim() < 1:
        return tensor
    wider = torch.stack((tensor, tensor), -1)
    return wider[..., 0]


def _batch_of_one(tensor: torch.Tensor) -> torch.Tensor:
    return _channels_last(tensor[:1]) if tensor.dim() in (4, 5) and tensor.shape[0] > 0 else tensor


LAYOUTS: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "channels last": _channels_last,
    "transposed": _transposed,
    "outside in": _outside_in,
    "expanded": _expanded,
    "strided": _strided,
    "channels last, batch of 1": _batch_of_one,
}


def laid_out(change: Callable[[torch.Tensor], torch.Tensor], value: Any) -> Any:
    """``value`` with the layout of each plain tensor changed."""

    def each(leaf: Any) -> Any:
        if type(leaf) is not torch.Tensor or leaf.layout is not torch.strided or leaf.is_nested:
            return leaf
        with torch.no_grad():
            changed = change(leaf)
        if changed is leaf:
            return leaf
        return changed.detach().requires_grad_(leaf.requires_grad)

    return pytree.tree_map(each, value)


def outcomes(op: Any, setting: str, form: str, layout: str = "") -> Iterator[Outcome]:
    """What becomes of each sample of an operator."""
    try:
        for function, args, kwargs in samples(op, setting, form):
            call = (args, kwargs)
            if layout:
                call = laid_out(LAYOUTS[layout], call)
            yield compare(function, call[0], call[1], setting.split()[1])
    except (RuntimeError, NotImplementedError, AssertionError, ImportError, ModuleNotFoundError) as error:
        yield Outcome("no samples", str(error).partition("\n")[0])


# -- all of them ---------------------------------------------------------------------------------------------------

Task = tuple[str, str, str, str]


def _run(task: Task) -> tuple[Task, list[Outcome]]:
    name, setting, form, layout = task
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    ops = [op for op in operators() if op_name(op) == name]
    return task, [outcome for op in ops for outcome in outcomes(op, setting, form, layout)]


def op_name(op: Any) -> str:
    return f"{op.name}.{op.variant_test_name}" if op.variant_test_name else str(op.name)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--only", action="append", help="names of operators")
    parser.add_argument("--setting", action="append", choices=SETTINGS)
    parser.add_argument("--form", action="append", choices=FORMS)
    parser.add_argument("--layouts", action="store_true", help="lay the tensors out in other ways, in float32 eval")
    parser.add_argument("-v", action="store_true", dest="verbose", help="show every difference, not three an operator")
    options = parser.parse_args()
    names = sorted({op_name(op) for op in operators()})
    names = [name for name in names if not options.only or name in options.only]
    settings, forms, layouts = options.setting or SETTINGS, options.form or FORMS, [""]
    if options.layouts:
        settings, forms, layouts = options.setting or SETTINGS[:2], options.form or FORMS[:1], list(LAYOUTS)
    tasks = [
        (name, setting, form, layout) for name in names for layout in layouts for setting in settings for form in forms
    ]
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    told: dict[tuple[str, str], Counter[str]] = defaultdict(Counter)
    context = multiprocessing.get_context("fork")
    with context.Pool(options.processes) as pool, contextlib.suppress(KeyboardInterrupt):
        for (name, setting, form, layout), found in pool.imap_unordered(_run, tasks, chunksize=8):
            for outcome in found:
                counts[f"{setting}, {layout or form}"][outcome.verdict] += 1
                if outcome.detail:
                    told[outcome.verdict, name][outcome.detail] += 1
    return _report(counts, told, options.verbose)


def _print(line: str = "") -> None:
    sys.stdout.write(f"{line}\n")


def _report(counts: dict[str, Counter[str]], told: dict[tuple[str, str], Counter[str]], verbose: bool) -> int:
    verdicts = (EQUAL, FELL_BACK, REFUSED, UNSOLVABLE, "no samples", DIFFER, CRASH)
    total = sum(counts.values(), Counter[str]())
    _print(f"{'':48}" + "".join(f"{verdict:>17}" for verdict in verdicts))
    for row, counted in [*sorted(counts.items()), ("all", total)]:
        _print(f"{row:48}" + "".join(f"{counted[verdict]:17,}" for verdict in verdicts))
    for verdict in verdicts[1:]:
        _print(f"\n{verdict}:")
        for (which, name), details in sorted(told.items()):
            if which == verdict:
                some = details.most_common(None if verbose else 3)
                for detail, number in some:
                    _print(f"  {name} ({number}): {detail[:400]}")
                if len(details) > len(some):
                    _print(f"  {name}: and {len(details) - len(some)} others")
    return int(bool(total[DIFFER] or total[CRASH]))


if __name__ == "__main__":
    sys.exit(main())
