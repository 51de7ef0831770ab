"""Measures the models of ten zoos without weights, on real tensors, and as modules, and tells where these differ.

``python -m benchmarks.zoos --json rows.jsonl`` sweeps all ten, two at a time, in a quarter of an hour on two cores;
``--zoo peft --match 'Lora*'`` some. Nothing is downloaded. ``--summarise rows.jsonl`` prints the table of a run again,
``--against before.jsonl`` with it what has changed since another. The zoos are not in an extra of this package, since
one of them asks for a torch of its own; beside an environment that has torch, torchvision, timm and transformers::

    pip install diffusers segmentation-models-pytorch monai vit-pytorch x-transformers
    pip install torch-geometric peft open_clip_torch ultralytics
    pip install --no-deps torchaudio

Each zoo has a worker process of its own under limits of time and memory. Every field of every layer is compared, and a
module's weights and modes from before its measurement with those after it.
"""

from __future__ import annotations

import argparse
import contextlib
import fnmatch
import io
import json
import os
import random
import re
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field, fields
from functools import partial
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.utils._pytree import tree_map_only

from benchmarks.isolated import Answer, Limits, OutOfTimeError, answers
from benchmarks.zoo import ZOOS
from benchmarks.zoo.attempts import Attempt, UnknownError
from pytest_modelbudget import Layer, Profile, measure
from pytest_modelbudget.errors import MeasurementError

GB = 10**9
OUTCOMES = {
    "equal": "without weights, equal to the real run",
    "alone": "without weights, too large for a real run",
    "fell back": "on real tensors",
    "differs": "DIFFERS between the runs",
    "failed": "FAILED here alone",
    "own error": "fails without this package too",
    "unknown": "not tried",
}


@dataclass
class Row:
    """What became of one model.

    Attributes:
        zoo, name: of the model.
        outcome: a key of `OUTCOMES`.
        seconds: of measuring it as ``run="auto"`` does, building included.
        totals: metric to value.
        note: why it fell back to a real run.
        uncounted: operation without a formula to calls.
        differs: which runs differ, to what of them differs: metric, or layer and field, to both values.
        message: of the failure, or why it was not tried.
    """

    zoo: str
    name: str
    outcome: str = ""
    seconds: float = 0.0
    totals: dict[str, int] = field(default_factory=dict)
    note: str = ""
    uncounted: dict[str, int] = field(default_factory=dict)
    differs: dict[str, dict[str, list[Any]]] = field(default_factory=dict)
    message: str = ""


def main() -> None:
    """Sweep, write the rows, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--zoo", choices=ZOOS, action="append", help="this zoo (again for another); all without it")
    parser.add_argument("--match", default="*", help="a shell pattern over the models' names")
    parser.add_argument("--mode", choices=("eval", "train"), default="eval")
    parser.add_argument("--json", type=Path, help="write a row a model, as JSON lines, as they come")
    parser.add_argument("--jobs", type=int, default=2, help="zoos at a time")
    parser.add_argument("--seconds", type=int, default=30, help="time limit of one model")
    parser.add_argument("--memory", type=float, default=8, help="memory limit of a worker, in GB")
    parser.add_argument("--real", type=float, default=2, help="most weights of a run on real tensors, in GB")
    parser.add_argument("--macs", type=float, default=20, help="most MACs of a run on real tensors, in billions")
    parser.add_argument("--summarise", type=Path, help="only print the table of the rows in this file")
    parser.add_argument("--against", type=Path, help="the rows of another run, to tell what has changed")
    args = parser.parse_args()
    if args.summarise:
        rows = _read(args.summarise)
    else:
        limits = Limits(args.seconds, int(args.memory * GB), int(args.real * GB))
        with args.json.open("w") if args.json else contextlib.nullcontext(io.StringIO()) as file:
            rows = []
            load = partial(_load, mode=args.mode, limits=limits, macs=int(args.macs * GB))
            for row in _swept(args.zoo or list(ZOOS), args.match, load, limits, args.jobs):
                rows.append(row)
                file.write(json.dumps(asdict(row)) + "\n")
                file.flush()
    lines = _summary(rows)
    if args.against:
        lines += _changes(_read(args.against), rows)
    print("\n".join(lines))  # noqa: T201


def _read(path: Path) -> list[Row]:
    return [Row(**json.loads(line)) for line in path.read_text(encoding="utf-8").splitlines()]


def _swept(zoos: list[str], match: str, load: Callable[..., Any], limits: Limits, jobs: int) -> Iterator[Row]:
    """The rows of all zoos, as they come."""
    queue: SimpleQueue[Row | None] = SimpleQueue()

    def sweep(zoo: str) -> None:
        try:
            for name, row, failure in answers(partial(load, zoo), lambda names: fnmatch.filter(names, match), limits):
                queue.put(row or Row(zoo, name, "failed", message=failure))
        except RuntimeError as error:
            queue.put(Row(zoo, "", "unknown", message=str(error)))
        finally:
            queue.put(None)

    with ThreadPoolExecutor(jobs) as pool:
        for zoo in zoos:
            pool.submit(sweep, zoo)
        for _ in zoos:
            yield from iter(queue.get, None)


# In the worker


def _load(zoo: str, mode: str, limits: Limits, macs: int) -> tuple[list[str], Answer]:
    """The names of a zoo's models, and what compares the runs of one."""
    torch.set_num_threads(1)
    os.environ |= {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_VERBOSITY": "error", "HF_HUB_DISABLE_PROGRESS_BARS": "1"}
    with contextlib.redirect_stdout(io.StringIO()):
        models = dict(ZOOS[zoo]())
    return list(models), lambda name: _row(zoo, name, models[name], mode, limits, macs)


def _row(zoo: str, name: str, attempts: Callable[[], Iterable[Attempt]], mode: str, limits: Limits, macs: int) -> Row:
    row = Row(zoo, name)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            found = attempts()
            # Where nothing is to be chosen, the model is run without this package only if it fails with it.
            sole = found[0] if isinstance(found, list) and len(found) == 1 else None
            try:
                _compare(row, sole or _accepted(found, mode, limits.real), mode, limits.real, macs)
            except MeasurementError:
                if sole:
                    _accepted([sole], mode, limits.real)
                raise
    except UnknownError as error:
        row.outcome, row.message = "unknown", str(error)
    except (_OwnError, ImportError) as error:
        row.outcome, row.message = "own error", str(error)
    except (Exception, OutOfTimeError) as error:
        row.outcome, row.message = "failed", _one_line(error)
    return row


class _OwnError(Exception):
    """The model cannot be built or called without this package either."""


def _accepted(attempts: Iterable[Attempt], mode: str, largest: int) -> Attempt:
    """The first attempt that works without this package; on the meta device where the weights are too large.

    Raises:
        _OwnError: it does not.
        UnknownError: none of several does.
    """
    bare = _Bare(mode, largest)
    errors = []
    try:
        for build, inputs in attempts:
            error = bare.error(build, inputs)
            if error is None:
                return build, inputs
            errors.append(error)
    except UnknownError:
        raise
    except Exception as error:
        errors.append(error)
    if len(errors) > 1:
        raise UnknownError(f"none of {len(errors)} ways to build and call it works; the first: {_one_line(errors[0])}")
    raise _OwnError(_one_line(errors[0]))


class _Bare:
    """Models without this package, each built once for all inputs that it is tried with."""

    def __init__(self, mode: str, largest: int) -> None:
        self._training = mode == "train"
        self._largest = largest
        self._builder: Any = None
        self._built: Any = None
        self._device = ""

    def error(self, build: Callable[[], nn.Module], inputs: Any) -> Exception | None:
        """What goes wrong when the model is built and called."""
        try:
            if build is not self._builder:
                self._builder, self._built = build, None
                self._device = "meta" if _bytes(build) > self._largest else "cpu"
                torch.manual_seed(0)
                with torch.device(self._device):
                    self._built = build().train(self._training)
            args, kwargs = tree_map_only(torch.Tensor, lambda each: each.to(self._device, copy=True), _call(inputs))
            with torch.set_grad_enabled(self._training):
                self._built(*args, **kwargs)
        except Exception as error:
            return error
        except OutOfTimeError as error:
            raise _OwnError(_one_line(error)) from None
        return None


def _bytes(build: Callable[[], nn.Module]) -> int:
    """The bytes of the weights; 0 where the model cannot be built without them."""
    try:
        with torch.device("meta"):
            return sum(p.numel() * p.dtype.itemsize for p in build().parameters())
    except Exception:
        return 0


def _call(inputs: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
    if isinstance(inputs, dict):
        return (), inputs
    if all(isinstance(size, int) for size in inputs):
        return (torch.rand(inputs),), {}
    return inputs, {}


def _compare(row: Row, attempt: Attempt, mode: Any, largest: int, macs: int) -> None:
    """Measure a model in each way, into its row."""
    build, inputs = attempt
    _seed()
    start = time.perf_counter()
    auto = measure(build, inputs, mode=mode)
    row.seconds = round(time.perf_counter() - start, 3)
    row.totals, row.note, row.uncounted = auto.totals(), auto.note, auto.uncounted
    if auto.size > largest or auto.macs > macs:
        row.outcome = "alone" if auto.run == "abstract" else "fell back"
        return
    _seed()
    module = build()
    before = _state(module)
    if auto.run == "abstract":
        _note(row, "abstract, real", auto, module, inputs, mode, "real")
    _note(row, "factory, module", auto, module, inputs, mode, "auto")
    touched = [name for name, value in _state(module).items() if not _same(value, before.get(name))]
    if touched:
        row.differs["before, after"] = {name: ["", "changed"] for name in touched[:3]}
    row.outcome = "differs" if row.differs else "equal" if auto.run == "abstract" else "fell back"


def _seed() -> None:
    """Models that draw their sizes as they are built are the same each time."""
    torch.manual_seed(0)
    random.seed(0)
    np.random.seed(0)


def _note(row: Row, runs: str, first: Profile, model: Any, inputs: Any, mode: Any, run: Any) -> None:
    """Measure in another way, and note what differs from the first."""
    try:
        second = measure(model, inputs, mode=mode, run=run)
    except MeasurementError as error:
        row.differs[runs] = {"fails": ["", _one_line(error)]}
        return
    found: dict[str, list[Any]] = {
        metric: [value, other]
        for (metric, value), other in zip(first.totals().items(), second.totals().values(), strict=True)
        if value != other
    }
    for name in first.layers.keys() | second.layers.keys():
        one, other = first.layers.get(name), second.layers.get(name)
        for key in (each.name for each in fields(Layer)):
            if getattr(one, key, None) != getattr(other, key, None):
                found[f"{name or '(itself)'} {key}"] = [getattr(one, key, None), getattr(other, key, None)]
    if found:
        row.differs[runs] = dict(list(found.items())[:12])


def _state(module: nn.Module) -> dict[str, Any]:
    """What a measurement must not change."""
    state: dict[str, Any] = {f"training of {name}": each.training for name, each in module.named_modules()}
    for name, tensor in (*module.named_parameters(), *module.named_buffers()):
        state[name] = tensor.detach().clone()
    return state


def _same(one: Any, other: Any) -> bool:
    if isinstance(one, torch.Tensor):
        return isinstance(other, torch.Tensor) and torch.equal(one.nan_to_num(), other.nan_to_num())
    return bool(one == other)


def _one_line(error: BaseException) -> str:
    return f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0]}"[:400]


# The table


def _summary(rows: list[Row]) -> list[str]:
    zoos = list(dict.fromkeys(row.zoo for row in rows))
    head = ["zoo", "models", *OUTCOMES, "uncounted"]
    lines = ["  ".join(f"{word:>9}" for word in head), ""]
    for zoo in [*zoos, ""]:
        own = [row for row in rows if zoo in ("", row.zoo)]
        counts = Counter(row.outcome for row in own)
        numbers = [len(own), *(counts[outcome] for outcome in OUTCOMES), sum(bool(row.uncounted) for row in own)]
        lines.append("  ".join([f"{zoo or 'all':>9}", *(f"{number:9}" for number in numbers)]))
    lines += ["", *(f"{key:>9}  {words}" for key, words in OUTCOMES.items())]
    lines.append(f'\n{sum(row.seconds for row in rows):.0f} s of measuring as run="auto" does')
    lines += _groups("Differs", [(_difference(row), row) for row in rows if row.differs])
    lines += _groups("Failed here alone", [(row.message, row) for row in rows if row.outcome == "failed"])
    lines += _groups("Fell back to real tensors", [(row.note, row) for row in rows if row.note])
    lines += _groups("Uncounted", [(operation, row) for row in rows for operation in row.uncounted])
    lines += _groups(
        "Fails without this package too", [(row.message, row) for row in rows if row.outcome == "own error"]
    )
    return lines + _groups("Not tried", [(row.message, row) for row in rows if row.outcome == "unknown"])


def _difference(row: Row) -> str:
    parts = []
    for runs, found in row.differs.items():
        shown = ", ".join(f"{what} {one} → {other}" for what, (one, other) in list(found.items())[:3])
        parts.append(f"{runs}: {shown}")
    return "; ".join(parts)


def _groups(title: str, rows: list[tuple[str, Row]]) -> list[str]:
    """The rows grouped by a message, whatever its numbers; largest group first."""
    groups: dict[str, list[tuple[str, str]]] = defaultdict(list)
    for message, row in rows:
        groups[re.sub(r"[\d,.]+", "#", message)].append((message, f"{row.zoo}: {row.name}"))
    lines = ["", f"{title} ({len(rows)})"]
    for group in sorted(groups.values(), key=len, reverse=True):
        names = "; ".join(name for _, name in group[:4]) + ("; ..." if len(group) > 4 else "")
        lines += [f"{len(group):6}  {group[0][0]}", f"        {names}"]
    return lines


def _changes(before: list[Row], after: list[Row]) -> list[str]:
    """What became of the models that another run saw otherwise."""
    old = {(row.zoo, row.name): row for row in before}
    lines = ["", "Changed since the other run"]
    for row in after:
        was = old.get((row.zoo, row.name))
        if was is None or (was.outcome, was.totals) == (row.outcome, row.totals):
            continue
        keys = sorted(
            key for key in was.totals.keys() | row.totals.keys() if was.totals.get(key) != row.totals.get(key)
        )
        figures = ", ".join(f"{key} {was.totals.get(key)} → {row.totals.get(key)}" for key in keys)
        lines.append(f"  {row.zoo}: {row.name}: {was.outcome} → {row.outcome} {figures}".rstrip())
    return lines


if __name__ == "__main__":
    main()
