"""A profile with the MACs that another tool counts."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import replace

import torch

from pytest_modelbudget.engine import counters
from pytest_modelbudget.engine.arguments import InputSource
from pytest_modelbudget.engine.isolation import undisturbed
from pytest_modelbudget.engine.prepare import prepared
from pytest_modelbudget.engine.recorder import Recorder
from pytest_modelbudget.engine.sources import Subject
from pytest_modelbudget.errors import MeasurementError
from pytest_modelbudget.profile.crosscheck import RULE
from pytest_modelbudget.profile.layer import Layer
from pytest_modelbudget.profile.profile import Profile


def counted_by(
    tool: counters.Counter,
    profile: Profile,
    subject: Subject,
    inputs: InputSource,
    mode: str,
    run: str,
    dtype: torch.dtype | None,
    parts: dict[str, dict[str, int]] | None = None,
) -> Profile:
    """A profile with the MACs that another tool counts.

    Everything else is as it was measured: params and bytes are what they are, whatever counts MACs. ``parts`` is filled
    with what the tool's MACs are made of, as in `counters.Tally`.

    Raises:
        MeasurementError: the tool fails on the model.
    """
    tries = [abstract for abstract in (True, False) if run != ("real" if abstract else "abstract")]
    if not tool.takes_abstract:
        if run == "abstract":
            raise MeasurementError(f'{tool.name} runs models on real tensors only; set run = "auto" or run = "real"')
        tries = [False]
    elif profile.run == "real":
        tries = [False]
    for abstract in tries:
        recorder = Recorder(abstract=abstract, counting=False)
        with undisturbed(), counters.unpatched(), counters.quietly() as printed:
            model = subject.abstract if abstract else subject.real
            in_place = subject.runs_in_place
            with prepared(model, inputs, recorder, mode, dtype, in_place=in_place) as (copied, args, kwargs):
                try:
                    with recorder if abstract else nullcontext():
                        tally = tool.count(copied, args, kwargs)
                except (Exception, SystemExit) as error:
                    if abstract and False in tries:
                        continue
                    told = (f"{tool.name} failed: {_line(error)}", _last_line(printed.getvalue()))
                    raise MeasurementError("\n".join(filter(None, told)), "inputs") from error
                types = {name: type(each).__name__ for name, each in copied.named_modules(remove_duplicate=False)}
        if parts is not None:
            by_rules = {name: {RULE: macs} for name, macs in tally.macs.items() if macs}
            parts.update((name, dict(counts)) for name, counts in (tally.parts or by_rules).items())
        return _with_macs(profile, tool.name, tally, types, "abstract" if abstract else "real")
    raise AssertionError("the last try returns or raises")


def _with_macs(profile: Profile, counter: str, tally: counters.Tally, types: Mapping[str, str], run: str) -> Profile:
    layers = {
        # A tool may count a module under each name that it is held by.
        name: replace(
            profile.layers.get(name) or Layer(name, kind),
            macs=tally.macs.get(name, 0),
            uncounted=tally.unseen.get(name, {}),
        )
        for name, kind in types.items()
        if name in profile.layers or tally.macs.get(name)
    }
    return replace(profile, layers=layers, counter=counter, run=run if profile.run == "abstract" else "real")


def _line(error: BaseException) -> str:
    return f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0]}"


def _last_line(printed: str) -> str:
    return (printed.strip().splitlines() or [""])[-1]
